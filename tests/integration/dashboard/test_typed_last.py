"""What is entered as the last thing before a step, a campaign or the page is left is in the campaign."""

from collections.abc import Callable
from datetime import datetime, time
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.views.campaign import audience_step
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.dashboard.hurry import cut_short, shown_otherwise
from tests.integration.people import add_people

Opened = Callable[[str], AppTest]
NEXT = {
    "audience": "Next: Variants",
    "variants": "Next: Metrics",
    "metrics": "Next: Plan",
    "plan": "Back: Metrics",
}
START: dict[str, Any] = {
    "name": "Spring",
    "key": "spring",
    "audience": {"condition": {"country": "NL"}},
    "trigger": {"type": "recurring", "cron": "0 10 * * 1"},
    "variants": [{"key": "silence"}, {"key": "hello", "message": {"template": "x", "parameters": ["a"]}}],
    "metrics": [{"role": "guardrail", "key": "opted_out", "margin": 0.004}],
}
"""A widget: its step, what it is, how its key ends; what is entered, and what the document has of it then."""
ENTERED: tuple[tuple[str, str, str, Any, tuple[str | int, ...], Any], ...] = (
    ("audience", "text_input", ":name", "Summer", ("name",), "Summer"),
    ("audience", "number_input", ":audience.coverage", 50.0, ("audience", "coverage"), 0.5),
    ("audience", "text_area", ":hypothesis", "It helps", ("hypothesis",), "It helps"),
    ("audience", "time_input", "~cron_time", time(8, 30), ("trigger", "cron"), "30 8 * * 1"),
    ("audience", "button_group", "~cron_days", ["mon", "fri"], ("trigger", "cron"), "30 8 * * 1,5"),
    ("audience", "text_input", ":country:is:text:text", "BR", ("audience", "condition", "country"), "BR"),
    ("audience", "button_group", ":~trigger", "once", ("trigger", "type"), "once"),
    ("variants", "number_input", ":variants[1].weight", 3.0, ("variants", 1, "weight"), 3),
    ("variants", "text_area", "~parameters", "b", ("variants", 1, "message", "parameters", 0), "b"),
    ("metrics", "number_input", ":metrics[0].window:number", 3, ("metrics", 0, "window"), "3d"),
    ("plan", "selectbox", ":plan.method", "fixed", ("plan", "method"), "fixed"),
    ("plan", "button_group", ":~policy", "thompson", ("allocation", "policy"), "thompson"),
)


@pytest.fixture
def app(live: Live, open_dashboard: Opened) -> AppTest:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 4))
    live.call("PUT", "/v1/drafts/spring", json={"document": START})
    return open_page(open_dashboard("write"), "new_campaign", draft="spring")


def enter(app: AppTest, kind: str, ends: str, value: Any) -> None:
    """Into a field, without the page being run: the press that comes next is said in the same breath."""
    found = [item for item in getattr(app, kind) if str(item.key).endswith(ends)]
    assert len(found) == 1, (ends, [item.key for item in getattr(app, kind)])
    found[0].set_value(value)


def of_draft(live: Live, *path: str | int, key: str = "spring") -> Any:
    found: Any = live.call("GET", f"/v1/drafts/{key}")["document"]
    for part in path:
        found = found[part]
    return found


def to_step(app: AppTest, step: str) -> AppTest:
    return app.button_group(key="step").set_value(step).run()


def test_every_kind_of_field_is_read_before_another_step_takes_its_place(live: Live, app: AppTest) -> None:
    for place, (step, kind, ends, value, path, expected) in enumerate(ENTERED):
        if app.query_params.get("step", ["audience"])[0] != step:
            to_step(app, step)
        enter(app, kind, ends, value)
        if place % 2:
            press(app, NEXT[step])
        else:
            to_step(app, "review")
        assert of_draft(live, *path) == expected, ends
        assert app.query_params["step"] != [step]
        seen(app)
    assert of_draft(live, "name") == "Summer"


def test_a_moment_that_was_just_chosen_is_in_the_review(live: Live, app: AppTest) -> None:
    enter(app, "button_group", ":~trigger", "once")
    app.run()
    enter(app, "button_group", "~once", "at")
    app.run()
    enter(app, "datetime_input", ":trigger.at", datetime(2026, 12, 24, 10, 30))  # noqa: DTZ001  # a wall clock
    to_step(app, "review")
    assert of_draft(live, "trigger", "at").startswith("2026-12-24T")
    assert "As soon as it is started" not in seen(app)


def test_another_campaign_does_not_take_it_away(live: Live, app: AppTest) -> None:
    enter(app, "text_input", ":name", "Summer")
    press(app, "Begin a new campaign")
    assert of_draft(live, "name") == "Summer"
    assert widget(app, "text_input", "Name").value == ""


def test_another_page_reads_it_and_the_draft_is_kept(
    live: Live, app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(app, "text_input", ":name", "Summer")
    enter(app, "number_input", ":audience.coverage", 50.0)
    # The run that brings it is ended by the press of a link, before a single field was drawn.
    cut = cut_short(monkeypatch, audience_step, "show", goes_to="planner")
    app.run()
    assert cut
    assert "Planner" in [item.value for item in app.header]
    assert not [item for item in app.text_input if str(item.key).endswith(":name")]
    assert (of_draft(live, "name"), of_draft(live, "audience", "coverage")) == ("Summer", 0.5)
    assert "draft" not in app.query_params
    open_page(app, "new_campaign")
    assert widget(app, "text_input", "Name").value == "Summer"
    assert shown_otherwise(app) == []
