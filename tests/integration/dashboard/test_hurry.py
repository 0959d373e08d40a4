"""Input that arrives while a page is being drawn takes nothing away, and no document makes a page fall over."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.views import condition_builder
from dashboard.views.campaign import work
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.dashboard.hurry import cut_short, shown_otherwise
from tests.integration.people import add_people
from tests.integration.rule_world import happens

Opened = Callable[[str], AppTest]
STEPS = ("audience", "variants", "metrics", "plan")
FULL: dict[str, Any] = {
    "audience": {"condition": {"country": "NL"}, "coverage": 0.5, "holdout": 0.07},
    "trigger": {"type": "recurring", "cron": "30 9 * * 1,3", "until": "2027-03-01T10:00:30Z"},
    "priority": 5,
    "factors": [
        {
            "key": "when",
            "levels": [
                {"key": "late", "weight": 2, "send_time": {"best_hour": {"hours": [9, 20]}, "days": ["mon"]}},
                {"key": "early", "send_time": {"local_time": "08:15", "after": "90m"}},
            ],
        }
    ],
    "treatment": {"message": {"template": "x", "parameters": ["a"]}, "frequency": {"per_week": 2}},
    "metrics": [
        {
            "role": "primary",
            "key": "bought",
            "kind": "quantile",
            "level": 0.9,
            "event": "Order",
            "window": "3d",
        },
        {"role": "guardrail", "key": "opted_out", "margin": 0.004},
    ],
    "plan": {"method": "fixed", "mde": 0.1, "power": 0.9, "rules": {"min_weeks": 2, "futility": 0.1}},
    "allocation": {"policy": "top_two", "metric": "bought", "floor": 0.1, "cost": {"message": 0.02}},
}


def keep(live: Live, key: str, **fields: Any) -> None:
    live.call("PUT", f"/v1/drafts/{key}", json={"document": {"name": key, "key": key, **fields}})


def of_draft(live: Live, key: str) -> dict[str, Any]:
    document: dict[str, Any] = live.call("GET", f"/v1/drafts/{key}")["document"]
    return document


def test_a_draft_is_shown_whole_though_its_first_run_was_cut_short(
    live: Live, open_dashboard: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 4))
    keep(live, "full", **FULL)
    app = open_dashboard("write")
    for step in STEPS:
        cut = cut_short(monkeypatch, work, "save")
        open_page(app, "new_campaign", draft="full", step=step)
        assert cut
        seen(app)
        assert shown_otherwise(app) == []
        app.run()
    assert of_draft(live, "full") == {"name": "full", "key": "full", **FULL}


def test_what_was_entered_while_a_run_was_cut_short_is_kept(
    live: Live, open_dashboard: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(open_dashboard("write"), "new_campaign")
    cut = cut_short(monkeypatch, work, "save")
    widget(app, "text_input", "Name").set_value("Spring").run()
    assert cut
    assert shown_otherwise(app) == []
    assert widget(app, "text_input", "Key").value == "spring"
    widget(app, "text_input", "Name").set_value("Summer").run()
    [draft] = live.call("GET", "/v1/drafts")["items"]
    document = of_draft(live, draft["key"])
    assert (document["name"], document["key"]) == ("Summer", "summer")
    assert document["trigger"] == {"type": "once"}


@pytest.mark.parametrize("page", ["rules", "segments"])
def test_forms_of_rules_and_segments_show_everything_of_what_is_edited(
    live: Live, open_dashboard: Opened, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    happens(live.wiring.database, live.clock, "user-1", name="Order Completed", revenue=20)
    condition = {"country": {"$in": ["NL", "BR"]}, "$not": {"$inSegment": "old"}}
    live.call("PUT", "/v1/segments/old", json={"name": "Old ones", "condition": {"age": {"$gt": 60}}})
    live.call("PUT", "/v1/segments/one", json={"name": "One", "condition": condition})
    rule = {
        "name": "One",
        "trigger": {"type": "inactivity", "after": "45d", "event": "Order Completed"},
        "condition": condition,
        "actions": [{"type": "set_attribute", "name": "tier", "value": 5}, {"type": "add_tag", "tag": "a"}],
        "cool_down": "3h",
        "since": "2026-12-01T10:00:30Z",
        "until": "2027-12-01T10:00:00Z",
    }
    live.call("PUT", "/v1/rules/one", json=rule)
    app = open_dashboard("write")
    cut = cut_short(monkeypatch, condition_builder.conditions, "preview")
    open_page(app, page, **{page.removesuffix("s"): "one", "edit": "1"})
    assert cut
    seen(app)
    assert shown_otherwise(app) == []
    press(app, "Save")
    kept = live.call("GET", f"/v1/{page}/one")
    assert kept["definition" if page == "rules" else "condition"] == (
        {**kept["definition"], **rule} if page == "rules" else condition
    )


ODD: tuple[dict[str, Any], ...] = (
    {"trigger": {"type": "full moon"}, "plan": {"power": 1.5, "method": "guess"}},
    {"trigger": {"type": 5}, "allocation": {"policy": "luck"}, "category": 7, "priority": "high"},
    {"trigger": {"type": "once", "at": "9999-12-31T23:59:00Z"}, "plan": {"mde": -3, "rules": "none"}},
    {"trigger": {"type": "recurring", "cron": ["daily"], "until": "soon"}, "plan": {"alpha": "5%"}},
    {"trigger": {"type": "inactivity", "after": "99999999d", "event": {}}, "audience": {"layer": 3}},
    {
        "audience": {"condition": None, "coverage": 7, "holdout": -1, "layer": {"key": 1, "range": [0, 9]}},
        "variants": [
            {"key": 1, "weight": -1, "message": "hello"},
            {"message": {"text": 5}, "send_time": {"best_hour": {"hours": "8-21"}}},
            {"message": {"parameters": 3}, "send_time": "noon", "frequency": {"steps": 0, "per_day": 99}},
        ],
        "metrics": [{}, {"role": "hero", "kind": "mood"}, {"kind": "ratio", "numerator": 3}],
    },
    {
        "factors": [{"key": None, "levels": [{}, {}]}, {"levels": [{"frequency": 3}]}],
        "treatment": {"message": 1},
    },
)


def test_no_document_makes_the_wizard_fall_over(live: Live, open_dashboard: Opened) -> None:
    app = open_dashboard("write")
    for number, fields in enumerate(ODD):
        keep(live, f"odd-{number}", **fields)
        for step in (*STEPS, "review"):
            open_page(app, "new_campaign", draft=f"odd-{number}", step=step)
            assert not app.exception, (number, step, [item.value for item in app.exception])
            assert shown_otherwise(app) == [], (number, step)
        assert of_draft(live, f"odd-{number}") == {"name": f"odd-{number}", "key": f"odd-{number}", **fields}
