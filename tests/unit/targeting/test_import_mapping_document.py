"""Mappings as people write them: every problem with the path of its field."""

from typing import Any

import pytest

from experiments.errors import Invalid
from targeting.imports.mapping import AttributeColumn, ConsentColumns, resolve
from targeting.imports.mapping_document import read_mapping


def test_a_plain_name_stands_for_a_column_alone() -> None:
    mapping = read_mapping(
        {
            "user_id": "no",
            "consent": {"marketing": {"column": "opt", "evidence": "proof"}, "utility": "opt2"},
            "attributes": {"country": "land", "spent": {"column": "sum", "type": "number", "decimal": ","}},
            "region": "NL",
        }
    ).to_mapping()
    assert mapping.consent == {
        "marketing": ConsentColumns("opt", evidence="proof"),
        "utility": ConsentColumns("opt2"),
    }
    assert mapping.attributes == {
        "country": AttributeColumn("land"),
        "spent": AttributeColumn("sum", "number", decimal=","),
    }
    assert (mapping.region, mapping.phone) == ("NL", None)


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        ({"fone": "x"}, "mapping.fone", "did you mean phone?"),
        ({"phone": 3}, "mapping.phone", "string"),
        ({"phone": ""}, "mapping.phone", "at least 1"),
        ({"region": "Holland"}, "mapping.region", "not a region"),
        (
            {"consent": {"marketing": {"colum": "x", "column": "y"}}},
            "mapping.consent.marketing.colum",
            "column",
        ),
        ({"consent": {"marketing": {}}}, "mapping.consent.marketing.column", "is required"),
        ({"attributes": {"a": 3}}, "mapping.attributes.a", "dictionary"),
        ({"attributes": {"a": {"column": "x", "type": "date"}}}, "mapping.attributes.a.type", "'time'"),
        (
            {"attributes": {"a": {"column": "x", "type": "number", "separator": ";"}}},
            "mapping.attributes.a",
            "separator means nothing for the type number",
        ),
        (
            {"attributes": {"a": {"column": "x", "type": "time", "zone": "Mars/Base"}}},
            "mapping.attributes.a.zone",
            "IANA",
        ),
        ({"attributes": {"": "x"}}, 'mapping.attributes.""', "at least 1"),
    ],
)
def test_a_wrong_mapping_names_the_path(document: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Invalid) as error:
        read_mapping(document)
    [problem] = error.value.problems
    assert problem.field == field
    assert words in problem.message


def test_every_column_that_is_not_there_is_told_at_once() -> None:
    mapping = read_mapping(
        {
            "user_id": "no",
            "phone": "mobil",
            "consent": {"marketing": {"column": "opt", "source": "sauce"}, "spam": "opt"},
            "attributes": {"country": {"column": "lnd", "type": "text"}},
        }
    ).to_mapping()
    with pytest.raises(Invalid) as error:
        resolve(mapping, ["no", "mobile", "opt", "source", "land"])
    assert {problem.field: problem.message.partition("; ")[2] for problem in error.value.problems} == {
        "mapping.phone": "did you mean 'mobile'?",
        "mapping.consent.marketing.source": "did you mean 'source'?",
        "mapping.consent.spam": "there are marketing, utility, authentication",
        "mapping.attributes.country": "did you mean 'land'?",
    }


def test_each_column_says_what_becomes_of_it() -> None:
    mapping = read_mapping(
        {
            "user_id": "no",
            "consent": {"marketing": {"column": "opt", "source": "src"}},
            "attributes": {"a": "x"},
        }
    ).to_mapping()
    columns = resolve(mapping, ["no", "opt", "src", "x", "y", "phone"])
    assert {name: columns.meaning_of(name) for name in ("no", "opt", "src", "x", "y", "phone")} == {
        "no": "user_id",
        "opt": "consent.marketing",
        "src": "consent.marketing",
        "x": "attributes.a",
        "y": "",
        "phone": "phone",
    }
