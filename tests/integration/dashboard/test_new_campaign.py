"""The wizard against the API itself: from an empty form to a campaign that runs, and everything that can go wrong on the way."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import formats
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import add_people, campaign
from tests.integration.registry import register, template
from tests.integration.rule_world import happens

Opened = Callable[[str], AppTest]
SHORT = [{"type": "BODY", "text": "Hi {{1}}, we miss you"}]


@pytest.fixture
def world(live: Live) -> Live:
    """Forty people, half of them in NL, and two templates."""
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 21), attributes={"first_name": "Ann"})
        add_people(session, live.clock, range(21, 41), attributes={"first_name": "Bo", "country": "BR"})
        register(
            session,
            live.clock,
            template("spring_coupon"),
            template("spring_reminder", "en_US", *SHORT),
            template("spring_reminder", "ar", {"type": "BODY", "text": "مرحبا {{1}}"}),
            template("on_hold", "en_US", {"type": "BODY", "text": "Hello"}, status="PAUSED"),
        )
    happens(live.wiring.database, live.clock, "user-1", name="Order Completed", revenue=20)
    return live


def field(app: AppTest, kind: str, place: str) -> Any:
    """The widget of a place in the document, such as `variants[1].weight`."""
    found = [item for item in getattr(app, kind) if str(item.key).endswith(f":{place}")]
    assert len(found) == 1, [item.key for item in getattr(app, kind)]
    return found[0]


def fill(app: AppTest, kind: str, place: str, value: Any) -> AppTest:
    changed: AppTest = field(app, kind, place).set_value(value).run()
    return changed


def go(app: AppTest, step: str) -> AppTest:
    return app.button_group(key="step").set_value(step).run()


def choose(app: AppTest, place: str, option: str | list[str]) -> AppTest:
    changed: AppTest = field(app, "button_group", place).set_value(option).run()
    return changed


def document(app: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = app.session_state["campaign_work"].document
    return found


def kept(live: Live) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = live.call("GET", "/v1/drafts")["items"]
    return items


def test_content_and_send_time_are_crossed_refused_mended_and_launched(
    world: Live, open_dashboard: Opened
) -> None:
    app = open_page(open_dashboard("write"), "new_campaign")
    assert "40 users" in seen(app)
    fill(app, "text_input", "name", "Spring wake-up")
    assert field(app, "text_input", "key").value == "spring-wake-up"

    go(app, "variants")
    choose(app, "~way", "crossed")
    fill(app, "selectbox", "factors[0].levels[0].message.template", "spring_reminder")
    fill(app, "text_input", "factors[0].levels[0].message.parameters[0]", "{{ user.first_name }}")
    fill(app, "selectbox", "factors[0].levels[1].message.template", "spring_coupon")
    fill(app, "text_input", "factors[0].levels[1].message.parameters[0]", "{{ user.first_name }}")
    press(app, "Vary the send time")
    arms = app.dataframe[-1].value
    assert list(arms["Arm"]) == [
        "message-1.morning",
        "message-1.evening",
        "message-2.morning",
        "message-2.evening",
        "silence",
    ]
    assert list(arms["Share"]) == ["20.0%"] * 5
    assert list(arms["When"]) == ["09:30", "18:30", "09:30", "18:30", ""]

    go(app, "metrics")
    fill(app, "selectbox", "metrics[0].event", "Order Completed")
    assert document(app)["metrics"][0]["key"] == "order_completed"

    go(app, "review")
    press(app, "Launch ..")  # the second variable of the coupon is not filled in
    [mistake] = app.session_state["campaign_work"].mistakes
    assert mistake.field == "factors[0].levels[1].message.parameters[1]"
    assert "Variants `content.levels[1].message.parameters[1]`" in seen(app).replace("**", "")
    assert world.call("GET", "/v1/experiments")["items"] == []

    go(app, "variants")
    assert mistake.message in seen(app)
    fill(app, "text_input", "factors[0].levels[1].message.parameters[1]", "SPRING")
    assert mistake.message not in seen(app)
    go(app, "plan")
    press(app, "Work out the plan")
    assert {item.label: item.value for item in app.metric}["Take part"] == "40"
    assert "What the crossed factors show" not in seen(app)  # of which nothing is known without a base
    fill(app, "number_input", "~baseline_rate", 10.0)
    press(app, "Work out the plan")
    assert "What the crossed factors show" in seen(app)
    [effects] = [list(frame.value["Effect"]) for frame in app.dataframe if "Effect" in frame.value]
    assert effects[:2] == ["content: message-2 against message-1", "hour: evening against morning"]
    assert effects[2] == "together: message-2 × evening (content × hour)"
    go(app, "review")
    press(app, "Launch ..")
    page = seen(app)
    assert "Start Spring wake-up?" in page
    assert "About **32** people would get" in page
    assert world.call("GET", "/v1/experiments/spring-wake-up")["status"] == "draft"
    press(app, "Yes, start it")
    assert "spring-wake-up is started" in seen(app)
    started = world.call("GET", "/v1/experiments/spring-wake-up")
    assert started["status"] == "running"
    assert [variant["key"] for variant in started["design"]["variants"]] == list(arms["Arm"])
    assert kept(world) == []


def test_any_combination_can_be_the_control(world: Live, open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("write"), "new_campaign", step="variants")
    choose(app, "~way", "crossed")
    press(app, "Vary the send time")
    control = field(app, "selectbox", "~control")
    assert control.value == "silence"
    control.set_value("message-2.evening").run()
    table = app.dataframe[-1].value
    assert next(iter(table["Arm"])) == "message-2.evening"
    assert list(table["Control"]) == ["control", "", "", "", ""]
    assert [level["key"] for level in document(app)["factors"][1]["levels"]] == ["evening", "morning"]
    assert field(app, "selectbox", "~control").value == "message-2.evening"
    assert field(app, "text_input", "factors[1].levels[0].key").value == "evening"
    field(app, "selectbox", "~control").set_value("silence").run()
    assert list(app.dataframe[-1].value["Control"]) == ["", "", "", "", "control"]


def test_a_start_that_is_refused_names_the_field_and_starts_nothing(
    world: Live, open_dashboard: Opened
) -> None:
    app = open_page(open_dashboard("write"), "new_campaign", step="variants")
    fill(app, "selectbox", "variants[1].message.template", "on_hold")
    assert "WhatsApp says PAUSED" in seen(app)
    go(app, "metrics")
    fill(app, "selectbox", "metrics[0].event", "Order Completed")
    go(app, "audience")
    fill(app, "text_input", "name", "Too early")
    go(app, "review")
    press(app, "Launch ..")
    press(app, "Yes, start it")
    [mistake] = app.session_state["campaign_work"].mistakes
    assert mistake.field == "variants[1].message.language"
    assert "One thing is wrong" in seen(app)
    assert mistake.message in seen(go(app, "variants"))
    assert world.call("GET", "/v1/experiments/too-early")["status"] == "draft"


def test_what_is_typed_is_there_in_another_session(world: Live, open_dashboard: Opened) -> None:
    first = open_page(open_dashboard("write"), "new_campaign")
    assert kept(world) == []
    fill(first, "text_input", "name", "Half done")
    go(first, "metrics")
    fill(first, "number_input", "metrics[1].margin", 0.4)
    # The API's time, not that of the machine on which the page is made.
    saved = f"Saved as a draft {formats.moment(world.clock.now())}"
    assert saved in seen(first)
    world.clock.advance(timedelta(hours=3))
    [draft] = kept(world)
    assert (draft["name"], draft["updated_by"].split(":")[1]) == ("Half done", "write key")
    assert first.query_params["draft"] == draft["key"]

    second = open_page(open_dashboard("admin"), "new_campaign", draft=draft["key"], step="metrics")
    assert field(second, "number_input", "metrics[1].margin").value == 0.4
    assert saved in seen(second)
    fill(second, "number_input", "metrics[1].margin", 0.5)
    fill(first, "number_input", "metrics[1].margin", 0.6)
    assert "key:admin key:" in seen(first)
    assert world.call("GET", f"/v1/drafts/{draft['key']}")["document"]["metrics"][1]["margin"] == 0.005
    press(first, "Write over it with mine")
    assert world.call("GET", f"/v1/drafts/{draft['key']}")["document"]["metrics"][1]["margin"] == 0.006
    press(second, "Throw this draft away")
    assert "Throw the draft of Half done away?" in seen(second)
    assert kept(world) != []
    press(second, "Yes, throw it away")
    assert kept(world) == []
    assert "The draft of Half done is thrown away." in seen(second)


def test_a_copy_has_everything_of_the_old_one_and_another_key(world: Live, open_dashboard: Opened) -> None:
    old = campaign(
        "old", name="Old one", audience={"condition": {"country": "NL"}, "forced": {"ann": "coupon"}}
    )
    design = world.call("POST", "/v1/experiments", json=old)["design"]
    app = open_page(open_dashboard("write"), "new_campaign", copy="old")
    assert "copy" not in app.query_params
    assert "20 users" in seen(app)
    go(app, "review")
    assert "`audience.forced.ann`" in seen(app)
    press(app, "Store as a draft experiment")
    copy = world.call("GET", "/v1/experiments/old-copy")["design"]
    assert copy == design | {"key": "old-copy", "name": "Copy of Old one"}
    assert kept(world) == []


def test_a_stored_draft_is_opened_redesigned_and_edited_as_yaml(world: Live, open_dashboard: Opened) -> None:
    world.call("POST", "/v1/experiments", json=campaign("old"))
    app = open_page(open_dashboard("write"), "new_campaign", draft="old", step="variants")
    assert field(app, "text_input", "variants[2].key").value == "coupon"
    assert field(app, "time_input", "variants[2].send_time.local_time").value.hour == 18
    fill(app, "number_input", "variants[2].weight", 2.0)
    go(app, "review")
    text = field(app, "text_area", "~yaml").value
    fill(app, "text_area", "~yaml", text.replace("priority: 0", "priority: [0"))
    press(app, "Take it over")
    assert "line" in app.error[0].value
    fill(app, "text_area", "~yaml", text.replace("priority: 0", "priority: 5\nexpires: {after: 2d}"))
    press(app, "Take it over")
    press(app, "Store as a draft experiment")
    assert "Stored as the experiment old" in seen(app)
    stored = world.call("GET", "/v1/experiments/old")["design"]
    assert (stored["priority"], stored["variants"][2]["weight"], stored["expires"]["after"]) == (5, 2, "2d")


def test_an_unfinished_condition_keeps_it_from_being_launched(world: Live, open_dashboard: Opened) -> None:
    world.call("PUT", "/v1/segments/dutch", json={"name": "Dutch", "condition": {"country": "NL"}})
    app = open_page(open_dashboard("write"), "new_campaign")
    choose(app, "~whom", "segment")
    widget(app, "selectbox", "Segment").set_value("dutch").run()
    assert "is in segment dutch" in seen(app)
    assert "20 users" in seen(app)
    assert document(app)["audience"] == {"condition": {"$inSegment": "dutch"}}
    choose(app, "~whom", "condition")
    press(app, "Attribute")
    go(app, "review")
    assert "is not finished" in seen(app)
    assert "Launch .." not in [button.label for button in app.button]
    choose(go(app, "audience"), "~whom", "everyone")
    assert "Launch .." in [button.label for button in go(app, "review").button]


def test_a_trigger_and_its_fields_change_together(world: Live, open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("write"), "new_campaign")
    choose(app, "~trigger", "recurring")
    assert document(app)["trigger"] == {"type": "recurring", "cron": "0 9 * * 1"}
    choose(app, "trigger.~cron_days", ["mon", "thu"])
    assert document(app)["trigger"]["cron"] == "0 9 * * 1,4"
    choose(app, "~trigger", "inactivity")
    fill(app, "number_input", "trigger.after:number", 45)
    fill(app, "selectbox", "trigger.event", "Order Completed")
    assert document(app)["trigger"] == {"type": "inactivity", "after": "45d", "event": "Order Completed"}
    choose(app, "~trigger", "once")
    choose(app, "trigger.~once", "time_of_day")
    assert document(app)["trigger"] == {"type": "once", "local_time": "10:00"}
    choose(app, "trigger.~once", "at")
    fill(app, "datetime_input", "trigger.at", datetime(2027, 1, 5, 9, 30))  # noqa: DTZ001  # as a person enters it
    assert document(app)["trigger"] == {"type": "once", "at": "2027-01-05T09:30:00Z"}


def test_messages_are_shown_as_their_readers_see_them(world: Live, open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("write"), "new_campaign", step="variants")
    fill(app, "selectbox", "variants[1].message.template", "spring_reminder")
    fill(app, "text_input", "variants[1].message.parameters[0]", "<b>{{ user.first_name }}</b> 你好")
    press(app, "Preview on real users")
    html = next(item.proto.body for item in app.get("html") if "<script>" not in item.proto.body)
    assert 'dir="auto"' in html
    assert "&lt;b&gt;" in html
    assert "你好, we miss you" in html
    assert "The message can be written for all 40 users that were tried." in seen(app)
    fill(app, "text_input", "variants[1].message.parameters[0]", "{{ user.nickname }}")
    assert "cannot be written for 40 of the 40 users that were tried (of the audience" in seen(app)


def test_a_draft_that_has_started_or_never_was_says_so(world: Live, open_dashboard: Opened) -> None:
    with world.wiring.database.transaction() as session:
        plain = {"type": "BODY", "text": "Hi"}
        names = ("reminder", "coupon")
        register(session, world.clock, *(template(name, "en_US", plain) for name in names))
    world.call("POST", "/v1/experiments", json=campaign("running"))
    world.call("POST", "/v1/experiments/running/start")
    app = open_page(open_dashboard("write"), "new_campaign", draft="nothing")
    assert "There is no draft nothing" in app.error[0].value
    app = open_page(app, "new_campaign", draft="running")
    assert "running has started" in app.error[0].value
    press(app, "Begin a new campaign")
    assert not app.error
    assert field(app, "text_input", "name").value == ""


def test_every_draft_is_found_by_turning_pages_or_by_its_name(world: Live, open_dashboard: Opened) -> None:
    for number in range(22):
        document = {"name": "The very first" if number == 0 else f"Number {number}"}
        world.call("PUT", f"/v1/drafts/d{number}", json={"document": document})
    world.call("POST", "/v1/experiments", json=campaign("stored", name="Stored one"))
    app = open_page(open_dashboard("write"), "new_campaign")

    def listed() -> list[str]:
        return [item.label.split(" :gray")[0] for item in app.button if ":gray[" in item.label]

    assert listed() == [*(f"Number {number}" for number in range(21, 1, -1)), "Stored one"]
    press(app, "Older drafts")
    assert listed() == ["Number 1", "The very first", "Stored one"]
    press(app, "Newest drafts")
    assert len(listed()) == 21
    press(app, "Older drafts")
    widget(app, "text_input", "Name or key of a draft").set_value("number 21").run()
    assert listed() == ["Number 21"], "a new search begins at the newest"
    widget(app, "text_input", "Name or key of a draft").set_value("very").run()
    assert listed() == ["The very first"]
    widget(app, "text_input", "Name or key of a draft").set_value("stored").run()
    assert listed() == ["Stored one"]
    widget(app, "text_input", "Name or key of a draft").set_value("nothing").run()
    assert "No other draft is called so." in seen(app)


def test_a_draft_that_somebody_else_wrote_may_be_anything(world: Live, open_dashboard: Opened) -> None:
    def keep(key: str, **fields: Any) -> None:
        world.call("PUT", f"/v1/drafts/{key}", json={"document": fields})

    keep("text", audience={"condition": 'country = "NL"'}, metrics=None, plan={"mde": "much"})
    app = open_page(open_dashboard("write"), "new_campaign", draft="text")
    assert "20 users" in seen(app)
    assert document(app)["audience"] == {"condition": {"country": "NL"}}
    for step in ("variants", "metrics", "plan", "review"):
        seen(go(app, step))
    keep("odd", variants="none")
    assert "`variants` is a list" in open_page(app, "new_campaign", draft="odd").error[0].value.replace(
        "\\", ""
    )
    keep("broken", audience={"condition": "country ="})
    app = open_page(app, "new_campaign", draft="broken", step="audience")
    press(app, "Go on without this condition")
    assert "40 users" in seen(app)


def test_a_reader_sees_no_form(world: Live, open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("read"), "new_campaign")
    assert "Your key reads." in seen(app)
    assert not app.text_input
    assert "Experiments" in seen(app)


def test_the_wizard_speaks_chinese(world: Live, open_dashboard: Opened) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Language").set_value("zh").run()
    open_page(app, "new_campaign", step="metrics")
    assert "用于决策。最好只有一个" in seen(app)
    for step in ("audience", "variants", "plan", "review"):
        page = seen(go(app, step))
        assert "Audience" not in page
