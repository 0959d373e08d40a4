"""Places in a document, its YAML, and that opening a campaign in the form loses nothing of it."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.campaign import arms, documents, fields
from dashboard.campaign.documents import Unwritable, at, from_yaml, to_yaml, with_value, without
from experiments.design import read_design
from tests.unit.experiments.test_design import CAMPAIGN

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/campaign.md").read_text(encoding="utf-8")
WHOLE, *PARTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
EXAMPLES: list[dict[str, Any]] = [WHOLE, *(WHOLE | part for part in PARTS), CAMPAIGN]
each_example = pytest.mark.parametrize("document", EXAMPLES, ids=[str(i) for i in range(len(EXAMPLES))])


@each_example
def test_yaml_is_read_back_as_it_was(document: dict[str, Any]) -> None:
    assert from_yaml(to_yaml(document)) == document
    # And by what `touchstone apply` reads with.
    assert read_design(yaml.safe_load(to_yaml(document)), library={}) == read_design(document, library={})


@each_example
def test_a_stored_design_that_is_opened_means_the_same(document: dict[str, Any]) -> None:
    design = read_design(document, library={})
    opened = documents.opened(design.model_dump(mode="json"))
    assert read_design(opened, library={}) == design
    assert "null" not in to_yaml(opened)


@each_example
def test_crossing_and_writing_out_keep_every_arm(document: dict[str, Any]) -> None:
    design = read_design(document, library={})
    cells = arms.cells(document)
    assert [(cell.key, cell.control) for cell in cells] == [(v.key, v.control) for v in design.variants]
    assert {cell.key: pytest.approx(cell.share) for cell in cells} == design.shares
    assert [cell.silent for cell in cells] == [variant.message is None for variant in design.variants]
    flat = read_design(arms.uncrossed(document), library={})
    said = [variant.model_copy(update={"levels": {}}) for variant in design.variants]
    assert list(flat.variants) == said


@each_example
def test_every_field_of_an_example_is_shown_or_said_to_be_kept(document: dict[str, Any]) -> None:
    kept = set(fields.unshown(document))
    for path in documents.leaves(document):
        name = documents.written(path)
        assert documents.path_of(name) == path or "." in "".join(map(str, path))
        assert fields.is_shown(path) or name in kept or at(document, path) in (None, {}, []), name


def test_what_the_form_has_no_field_for_is_named() -> None:
    document = {
        "key": "a",
        "audience": {"coverage": 0.5, "forced": {"ann": "b"}, "condition": {"a": {"b": None}}},
        "expires": {"after": "1d"},
        "metrics": [
            {"key": "bought", "kind": "proportion", "event": "Order", "where": {"a": 1}},
            {"key": "read", "role": "secondary", "window": "3d", "direction": "decrease"},
            {"key": "cost", "role": "secondary", "price": 0.07},
        ],
        "plan": {"rules": {"stop_for_harm": {"opted_out": False}}},
    }
    assert fields.unshown(document) == [
        "audience.forced.ann",
        "expires.after",
        "metrics[0].where.a",
        "metrics[1].direction",
        "plan.rules.stop_for_harm.opted_out",
    ]


def test_nothing_is_changed_in_place() -> None:
    before = {"a": [{"b": 1}], "c": {"d": 2}}
    kept = copy.deepcopy(before)
    assert with_value(before, ("a", 0, "b"), 5) == {"a": [{"b": 5}], "c": {"d": 2}}
    assert with_value(before, ("a", 2, "b"), 5)["a"] == [{"b": 1}, None, {"b": 5}]
    assert with_value(before, ("c", "d", "e"), 1)["c"] == {"d": {"e": 1}}
    assert with_value(before, ("x", "y"), None) == before
    assert without(before, ("a", 0)) == {"a": [], "c": {"d": 2}}
    assert without(before, ("c",)) == {"a": [{"b": 1}]}
    assert before == kept


def test_a_condition_is_opened_as_it_is() -> None:
    condition = {"country": None, "tags": {"$in": []}, "$not": {}}
    design = {"audience": {"condition": condition, "layer": None}, "factors": [], "hypothesis": ""}
    assert documents.opened(design) == {"audience": {"condition": condition}, "hypothesis": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("key: [a", "line 1"),
        ("- a\n- b", "has fields"),
        ("a: &x [*x]", "unfolds to more"),
        ("{a: .nan}", "not JSON compliant"),
        ("variants: [a]", "`variants` is a list of objects"),
        ("factors: [{levels: 5}]", r"`factors\[0\].levels` is a list"),
        ("audience: everybody", "`audience` is an object"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)), "unfolds to more"),
        ("[" * 2000, "recursion"),
    ],
    ids=["broken", "list", "itself", "nan", "texts", "levels", "audience", "bomb", "deep"],
)  # fmt: skip
def test_what_is_no_document_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(Unwritable, match=words):
        from_yaml(text)


def test_surprises_of_yaml_stay_texts() -> None:
    read = from_yaml("no: on\nat: 2026-12-01T10:00:00Z\ncontrol: true\nagain: &m {a: 1}\nsame: *m")
    assert read == {
        "no": "on",
        "at": "2026-12-01T10:00:00Z",
        "control": True,
        "again": {"a": 1},
        "same": {"a": 1},
    }
