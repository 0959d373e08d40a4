"""Every code has a meaning, every class a remedy."""

import pytest

from delivery.watch.remedies import MEANINGS, REMEDIES, REMEDIES_OF_CODES, explain
from delivery.whatsapp.error_table import CLASS_OF, ErrorClass


def test_every_class_has_a_remedy_and_every_listed_code_is_known() -> None:
    assert REMEDIES.keys() == set(ErrorClass)
    assert MEANINGS.keys() <= CLASS_OF.keys()


@pytest.mark.parametrize("code", sorted(CLASS_OF))
def test_every_code_of_the_error_table_is_explained(code: int) -> None:
    found = explain(code)
    assert found.error_class == CLASS_OF[code]
    assert found.remedy == REMEDIES_OF_CODES.get(code, REMEDIES[CLASS_OF[code]])
    assert "not on its list" not in found.meaning


def test_what_nobody_listed_is_explained_too() -> None:
    assert explain(999_999).error_class == "bad_request"
    assert "not on its list" in explain(999_999).meaning
    assert explain(None).error_class == "unknown"
    assert explain(None, error_class="retry").error_class == "retry"
    assert explain(132000, error_class="no such class").error_class == "bad_request"


def test_a_phone_that_could_not_be_reached_is_tried_once_more_before_the_person_is_left_out() -> None:
    said = explain(131026, error_class="never_for_person").remedy
    assert said.index("tried once more an hour later") < said.index("left out")
    assert explain(131021).remedy == REMEDIES[ErrorClass.NEVER_FOR_PERSON]
