"""Every code has a meaning, every class a remedy."""

import pytest

from delivery.watch.remedies import MEANINGS, REMEDIES, explain
from delivery.whatsapp.error_table import CLASS_OF, ErrorClass


def test_every_class_has_a_remedy_and_every_listed_code_is_known() -> None:
    assert REMEDIES.keys() == set(ErrorClass)
    assert MEANINGS.keys() <= CLASS_OF.keys()


@pytest.mark.parametrize("code", sorted(CLASS_OF))
def test_every_code_of_the_error_table_is_explained(code: int) -> None:
    found = explain(code)
    assert found.error_class == CLASS_OF[code]
    assert found.remedy == REMEDIES[CLASS_OF[code]]
    assert "not on its list" not in found.meaning


def test_what_nobody_listed_is_explained_too() -> None:
    assert explain(999_999).error_class == "bad_request"
    assert "not on its list" in explain(999_999).meaning
    assert explain(None).error_class == "unknown"
    assert explain(None, error_class="retry").error_class == "retry"
    assert explain(132000, error_class="no such class").error_class == "bad_request"
