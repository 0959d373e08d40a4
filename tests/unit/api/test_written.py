"""Documents as people write them: what is wrong with one is told in its own language, with the place."""

import pytest

from api.written import read_written
from experiments.errors import Invalid


@pytest.mark.parametrize(
    "text", ["phone: mobile", '{"phone": "mobile"}', "{phone: mobile}", " { phone: mobile, }"]
)
def test_an_object_is_read_as_yaml_or_as_json(text: str) -> None:
    assert read_written(text, field="mapping") == {"phone": "mobile"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not valid YAML at line 1, column 2"),
        ("user_id: id\nphone: [", "is not valid YAML at line 2, column 9"),
        ('{"phone": "mobile"', "is not valid YAML at line 1, column 19"),
        ("phone: a: b", "is not valid YAML at line 1, column 9"),
        ("a: &a [1]\nb: *a", "is not valid YAML at line 2, column 4: aliases (*name) are not taken"),
        ("phone: \x00", "is not valid YAML: unacceptable character"),
        ('{"phone": 1e999}', "cannot be taken: phone is 1e999, a number that is too large"),
        ("phone: .nan", "cannot be taken: phone is NaN, which is not a JSON number"),
        ('{"phone": NaN}', "cannot be taken: phone is NaN, which is not a JSON number"),
    ],
)
def test_what_is_broken_is_told_with_its_line_and_column(text: str, told: str) -> None:
    with pytest.raises(Invalid) as error:
        read_written(text, field="mapping")
    assert (error.value.problems[0].field, error.value.message.startswith(told)) == ("mapping", True), (
        error.value.message
    )
