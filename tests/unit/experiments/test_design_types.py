"""Values of the wrong kind: each is refused once, by the path that its author wrote."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from delivery.limits.policy import DeliveryPolicy
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid
from experiments.mistakes import problems_of
from experiments.treatments import Treatment
from experiments.triggers import OnceTrigger
from tests.unit.experiments.test_design import CAMPAIGN, problems

BAD_MESSAGE: dict[str, Any] = {"template": "t", "language": "en", "parameters": [5]}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"variants__1__message__parameters": [5]}, "variants[1].message.parameters[0]", "string, not 5"),
        ({"variants__1__message__parameters": {"a": 5}}, "variants[1].message.parameters.a", "string, not 5"),
        ({"variants__1__message__parameters": 5}, "variants[1].message.parameters", "neither a list"),
        ({"variants__1__message__parameters": ["x"] * 51}, "variants[1].message.parameters", "list should"),
        ({"treatment": {"message": BAD_MESSAGE}}, "treatment.message.parameters[0]", "string, not 5"),
        ({"trigger": {"local_time": "2026-12-24"}}, "trigger.local_time", "a day with its time"),
        ({"trigger": {"local_time": 1830}}, "trigger.local_time", "a day with its time"),
        ({"trigger": {"local_time": "25:00"}}, "trigger.local_time", "a day with its time"),
        ({"trigger": {"local_time": "18:00Z"}}, "trigger.local_time", "without an offset"),
        ({"variants": [-1]}, "variants[0]", "is not an object"),
        ({"variants": 5}, "variants", "is not a list"),
        ({"metrics": []}, "metrics", "list should have at least 1 item, not 0"),
        ({"audience__condition": 5}, "audience.condition", "is not an object"),
        # Names that an author wrote stay, whatever they look like.
        ({"audience__forced": {"[key]": 3}}, "audience.forced.[key]", "string"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_told_once(changes: dict[str, Any], field: str, words: str) -> None:
    found = problems(**changes)
    assert list(found) == [field]
    assert words in found[field]


def test_of_a_level_too() -> None:
    levels = [{"key": "a", "message": BAD_MESSAGE}, {"key": "b", "message": BAD_MESSAGE | {"parameters": []}}]
    found = problems(factors=[{"key": "content", "levels": levels}], variants=...)
    assert list(found) == ["factors[0].levels[0].message.parameters[0]"]


def test_a_bad_name_is_told_at_the_name() -> None:
    with pytest.raises(ValidationError) as caught:
        DeliveryPolicy.model_validate({"countries": {"ZZ": {}, "NL": {"days": []}}})
    found = {problem.field: problem.message for problem in problems_of(caught.value.errors())}
    assert list(found) == ["countries.ZZ", "countries.NL.days"]
    assert found["countries.NL.days"] == "list should have at least 1 item, not 0"


def test_branches_of_any_union_are_left_out() -> None:
    item = {
        "type": "x",
        "msg": "Wrong",
        "loc": ("a", "function-after[f(), tuple[str, ...]]", 0, "dict[str,str]"),
    }
    assert [problem.field for problem in problems_of([item])] == ["a[0]"]


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "0", "1764583200", [], {}], ids=str)
@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ({"type": "once"}, "trigger.at"),
        ({"type": "rule"}, "trigger.at"),
        ({"type": "event", "event": "x"}, "trigger.until"),
        ({"type": "recurring", "cron": "0 9 * * *"}, "trigger.until"),
        ({"type": "once"}, "expires.at"),
    ],
    ids=str,
)
def test_only_text_is_a_moment(trigger: dict[str, Any], path: str, value: Any) -> None:
    part, name = path.split(".")
    document = {**CAMPAIGN, "trigger": dict(trigger), "expires": {}}
    document[part][name] = value
    with pytest.raises(Invalid) as caught:
        read_design(document, library={})
    assert [problem.field for problem in caught.value.problems] == [path]


@pytest.mark.parametrize("year", ["0001", "1969", "2101", "9999"])
def test_years_that_zones_cannot_show_are_refused(year: str) -> None:
    for path, text in (("at", f"{year}-06-01T00:00:00Z"), ("local_time", f"{year}-06-01T00:00:00")):
        found = problems(trigger={path: text})
        assert "years from 1970 to 2100" in found[f"trigger.{path}"]


@pytest.mark.parametrize(
    "path",
    [
        *("variants__0__weight", "audience__coverage", "audience__holdout", "priority"),
        *("plan__alpha", "plan__power", "plan__mde", "metrics__2__margin"),
        *("variants__2__frequency__steps", "variants__2__frequency__per_day"),
        *("variants__2__frequency__per_week", "variants__2__frequency__per_month"),
        "variants__1__message__link_index",
    ],
)
def test_true_is_no_number(path: str) -> None:
    found = problems(**{path: True})
    field = path.replace("__", ".").replace("variants.", "variants#").replace("metrics.", "metrics#")
    assert [name.replace("[", "#").replace("]", "") for name in found] == [field]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"hours": [True, 21]}, "hours[0]"),
        ({"explore": True}, "explore"),
        ({"min_evidence": True}, "min_evidence"),
    ],
    ids=str,
)
def test_nor_is_it_one_of_a_learned_hour(change: dict[str, Any], place: str) -> None:
    found = problems(variants__2__send_time={"best_hour": {"fallback": "18:30", **change}})
    assert list(found) == [f"variants[2].send_time.best_hour.{place}"]


def test_nor_is_text() -> None:
    assert list(problems(variants__2__frequency__per_day="3")) == ["variants[2].frequency.per_day"]


def test_nor_is_a_number_yes_or_no() -> None:
    assert "variants[0].control" in problems(variants__0__control=1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plan__mde", 1e308),
        ("plan__mde", 100.5),
        ("plan__mde", 1e-300),
        ("metrics__2__margin", 1e308),
        ("metrics__2__margin", 1e13),
    ],
)
def test_effects_that_nobody_means_are_refused(path: str, value: float) -> None:
    assert len(problems(**{path: value})) == 1


def test_a_whole_number_is_a_number_and_values_of_python_are_taken() -> None:
    assert problems(audience__coverage=1, metrics__2__margin=0) == {}
    at = datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert OnceTrigger(at=at).at == at
    assert OnceTrigger(local_time=time(18, 30)).time_of_day == time(18, 30)
    assert OnceTrigger(local_time=at.replace(tzinfo=None)).local_moment is not None
    by_name = Treatment.model_validate({"message": BAD_MESSAGE | {"parameters": {"name": "x"}}})
    assert Treatment.model_validate(by_name.model_dump()) == by_name


@pytest.mark.parametrize(
    "trigger",
    [
        {"type": "once", "at": "2026-12-01T10:00:00.5+01:00", "local_time": "18:30:15"},
        {"type": "once", "local_time": "2026-12-24T18:00"},
        {"type": "event", "event": "x", "delay": "1d", "until": "2026-12-24T18:00:00Z"},
    ],
    ids=str,
)
def test_what_is_stored_is_read_again(trigger: dict[str, Any]) -> None:
    document = {**CAMPAIGN, "trigger": trigger, "expires": {"at": "2027-01-01T00:00:00Z"}}
    design = read_design(document, library={})
    assert ExperimentDesign.model_validate(design.model_dump(mode="json")) == design
    assert ExperimentDesign.model_validate_json(design.model_dump_json()) == design
    assert ExperimentDesign.model_validate(design.model_dump()) == design
    assert design.plan.ends_after == timedelta(days=14)
