"""The page of rules against the API itself: list, one of them, its form, the try, on and off, roles."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from api import jobs
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import add_people, campaign
from tests.integration.rule_world import happens, rule

Open = Callable[[str], AppTest]


@pytest.fixture
def world(live: Live) -> Live:
    """Two rules, of which the first is on and has fired twice."""
    live.call("PUT", "/v1/rules/buyers", json=rule(name="Thank *buyers*", cool_down="7d"))
    live.call("PUT", "/v1/rules/quiet", json=quiet())
    live.call("POST", "/v1/rules/buyers/enable")
    for name in ("ann", "bob"):
        live.clock.advance(timedelta(minutes=1))
        happens(live.wiring.database, live.clock, name)
    jobs.JOBS["evaluate-rules"](live.wiring)
    return live


def quiet() -> dict[str, Any]:
    return {
        "name": "Quiet ones",
        "trigger": {"type": "inactivity", "after": "30d"},
        "condition": {"country": "NL"},
        "actions": [{"type": "set_attribute", "name": "tier", "value": 1}],
    }


def stored(live: Live, key: str) -> dict[str, Any]:
    found: dict[str, Any] = live.call("GET", f"/v1/rules/{key}")
    return found


def test_without_rules_the_page_says_what_one_is_and_how_to_begin(open_dashboard: Open) -> None:
    words = seen(open_page(open_dashboard("write"), "rules"))
    assert "There is no rule yet" in words
    assert "Make the first rule" in words


def test_the_list_says_what_each_does_and_how_often_it_did(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "rules")
    words = seen(app)
    assert all(
        text in words
        for text in (
            "Thank *buyers*",
            "When Order Completed happens",
            "add the tag buyer",
            "**2**",
            "country is NL",
        )
    )
    assert "never yet" in words
    assert "New rule" not in words
    widget(app, "text_input", "Search").set_value("quiet").run()
    assert "add the tag buyer" not in seen(app)


def test_one_rule_shows_its_firings_its_versions_and_who_made_them(world: Live, open_dashboard: Open) -> None:
    world.call(
        "PUT", "/v1/rules/buyers", json=rule(name="Thank *buyers*", cool_down="9d", condition={"vip": True})
    )
    app = open_page(open_dashboard("read"), "rules", rule="buyers")
    words = seen(app)
    assert all(text in words for text in ("ann", "bob", "add the tag buyer: done", "event:1", "admin key"))
    assert "condition, rest" in words
    assert "at most once in 9d" in words
    assert not {"Turn off", "Turn on", "Delete"} & set(labels(app))
    press(app, "Try it")
    assert "In the last 30 days it would have fired **0** times for **0** users" in seen(app)
    assert "2 the condition does not hold" in seen(app)


def test_a_rule_is_tried_before_it_is_turned_on(world: Live, open_dashboard: Open) -> None:
    world.call("POST", "/v1/rules/buyers/disable")
    app = open_page(open_dashboard("write"), "rules", rule="buyers")
    press(app, "Turn on")
    assert any("it would have fired **2** times for **2** users" in item.value for item in app.warning)
    assert stored(world, "buyers")["state"] == "off"
    press(app, "Yes, turn it on")
    assert stored(world, "buyers")["state"] == "on"
    assert "is on." in seen(app)
    press(app, "Turn off")
    press(app, "No, leave it")
    assert stored(world, "buyers")["state"] == "on"
    press(app, "Turn off")
    press(app, "Yes, turn it off")
    assert stored(world, "buyers")["state"] == "off"


def test_a_rule_is_made_in_the_form_and_tried_there(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "rules", new="1")
    assert "Save" not in labels(app)
    widget(app, "text_input", "Key").set_value("thanks")
    widget(app, "text_input", "Name").set_value("Thanks").run()
    widget(app, "selectbox", "Event").set_value("Order Completed").run()
    widget(app, "text_input", "Tag").set_value("bought").run()
    press(app, "Try it")
    assert "**2** times for **2** users" in seen(app)
    widget(app, "checkbox", "Once per user, ever").check().run()
    assert "The rule has changed since it was tried" in seen(app)
    press(app, "Another action")
    app.selectbox(key="rule:new:actions:1:type").set_value("set_attribute").run()
    widget(app, "text_input", "Attribute").set_value("tier")
    widget(app, "text_input", "Value").set_value("2").run()
    widget(app, "checkbox", "Only events with certain properties").check().run()
    widget(app, "text_input", "The event's properties, in words").set_value("revenue >= 100").run()
    press(app, "Save")
    assert "off until it is turned on" in seen(app)
    made = stored(world, "thanks")
    assert made["state"] == "off"
    assert made["definition"]["trigger"] == {
        "type": "event",
        "event": "Order Completed",
        "properties": {"revenue": {"$gte": 100}},
    }
    assert made["definition"]["actions"] == [
        {"type": "add_tag", "tag": "bought"},
        {"type": "set_attribute", "name": "tier", "value": 2},
    ]
    assert made["definition"]["once_per_user"] is True


@pytest.mark.parametrize(
    "document",
    [
        rule(condition={"$and": [{"a": 1}, {"$nor": [{"b": {"$size": 2}}]}]}, cool_down="36h"),
        rule(
            trigger={"type": "attribute", "attribute": "plan", "from": {"$in": ["a", "5"]}, "to": "5"},
            actions=[
                {"type": "set_attribute", "name": "x", "value": "5"},
                {"type": "remove_tag", "tag": "t"},
            ],
            since="2026-01-01T00:00:00Z",
        ),
        rule(trigger={"type": "inactivity", "after": "12h", "event": "Never seen"}, once_per_user=True),
        rule(
            trigger={"type": "schedule", "cron": "0 9 * * 1", "time_zone": "Asia/Kolkata"},
            actions=[
                {"type": "set_attribute", "name": "x", "value": None},
                {"type": "enrol", "experiment": "spring"},
            ],
        ),
        rule(
            trigger={"type": "event", "event": "Order Completed", "properties": {"sku": {"$in": ["a", 1]}}},
            until="2030-01-01T00:00:00Z",
        ),
    ],
    ids=["condition", "attribute", "inactivity", "schedule", "event"],
)
def test_saving_what_nobody_has_changed_changes_nothing(
    live: Live, open_dashboard: Open, document: dict[str, Any]
) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 3))
    live.call("POST", "/v1/experiments", json=campaign(trigger={"type": "rule"}))
    live.call("PUT", "/v1/rules/buyers", json=document)
    before = stored(live, "buyers")
    app = open_page(open_dashboard("write"), "rules", rule="buyers", edit="1")
    press(app, "Save")
    assert "Nothing was different" in seen(app)
    assert stored(live, "buyers")["definition"] == before["definition"]


@pytest.mark.parametrize(
    "trigger",
    [{"type": "event", "event": "Order"}, {"type": "inactivity", "after": "30d", "event": "Order"}],
    ids=["event", "inactivity"],
)
def test_an_event_that_never_happened_is_told_at_the_trigger(
    world: Live, open_dashboard: Open, trigger: dict[str, Any]
) -> None:
    world.call("PUT", "/v1/rules/lost", json=rule(key="lost", trigger=trigger))
    app = open_page(open_dashboard("write"), "rules", rule="lost", edit="1")
    [beneath] = [item.value.replace("\\", "") for item in app.warning]
    assert beneath.startswith("**Order** has never happened")
    assert beneath.endswith("Known and alike: **Order Completed**.")


def test_a_rule_that_is_on_is_saved_only_after_a_question(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "rules", rule="buyers", edit="1")
    widget(app, "text_input", "Tag").set_value("patron").run()
    press(app, "Save")
    assert "acts on real users as soon as it is saved" in "".join(item.value for item in app.warning)
    assert stored(world, "buyers")["version"] == 1
    press(app, "Yes, save it")
    assert stored(world, "buyers")["version"] == 2
    assert stored(world, "buyers")["definition"]["actions"] == [{"type": "add_tag", "tag": "patron"}]


def test_what_the_api_refuses_is_said_in_its_words(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "rules", rule="quiet", edit="1")
    widget(app, "text_input", "Attribute").set_value("tags").run()
    press(app, "Try it")
    assert any("cannot be set by a rule" in error.value for error in app.error)
    press(app, "Save")
    assert any("cannot be set by a rule" in error.value for error in app.error)
    assert stored(world, "quiet")["version"] == 1
    app = open_page(open_dashboard("write"), "rules", rule="quiet")
    press(app, "Delete")
    press(app, "Yes, delete it")
    assert "Quiet ones is deleted" in seen(app)


def test_a_rule_of_an_experiment_is_left_to_it(live: Live, open_dashboard: Open) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 7))
    design = campaign(trigger={"type": "event", "event": "Order Completed"})
    live.call("POST", "/v1/experiments", json=design)
    live.call("POST", f"/v1/experiments/{design['key']}/start")
    key = f"experiment.{design['key']}"
    app = open_page(open_dashboard("write"), "rules", rule=key)
    assert "belongs to the experiment" in seen(app)
    assert not {"Turn off", "Turn on", "Delete"} & set(labels(app))
    assert "belongs to the experiment" in seen(
        open_page(open_dashboard("write"), "rules", rule=key, edit="1")
    )


def test_the_page_speaks_chinese_and_is_stale_when_the_api_is_away(
    world: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_dashboard("read")
    widget(app, "selectbox", "Language").set_value("zh").run()
    open_page(app, "rules", rule="buyers")
    assert "开启" in seen(app)
    assert "添加标签 buyer: 已完成" in seen(app)
    monkeypatch.setattr(
        httpx.Client, "request", lambda *_a, **_k: (_ for _ in ()).throw(httpx.ConnectError("gone"))
    )
    assert "可能已过时" in seen(app.run())


def test_beginning_and_end_are_entered_in_the_viewers_zone_and_taken_away(
    world: Live, open_dashboard: Open
) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Times in").set_value("Asia/Shanghai").run()
    open_page(app, "rules", rule="quiet", edit="1")
    widget(app, "checkbox", "Ends at a certain time").check().run()
    widget(app, "datetime_input", "Until (Asia/Shanghai)").set_value(datetime(2027, 3, 1, 8, 0)).run()  # noqa: DTZ001  # as a person enters it
    press(app, "Save")
    assert stored(world, "quiet")["definition"]["until"] == "2027-03-01T00:00:00Z"
    open_page(app, "rules", rule="quiet", edit="1")
    assert widget(app, "datetime_input", "Until (Asia/Shanghai)").value.hour == 8
    widget(app, "checkbox", "Ends at a certain time").uncheck().run()
    press(app, "Save")
    assert stored(world, "quiet")["definition"].get("until") is None
