"""Whoever presses a button again while the API takes its time has done it once, and reads what came of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.calls import access, campaigns, experiment, imports, moves, rules, segments, users
from dashboard.client import Client
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.dashboard.hurry import press_once_more, pressed_again
from tests.integration.looks import campaign as looked_at
from tests.integration.looks import look_often
from tests.integration.people import add_people, campaign
from tests.integration.registry import register, template
from tests.integration.rule_world import happens

Open = Callable[[str], AppTest]
BODY = {"type": "BODY", "text": "Hello"}


def test_a_key_is_made_once_and_shown(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(open_dashboard("admin"), "access", show="keys")
    widget(app, "text_input", "Name").set_value("shop")
    press(app, "Make the key")
    assert "A key needs a name" in seen(app)
    assert (
        widget(app, "text_input", "Name").value == "shop"
    )  # what is missing is not a reason to type all again
    widget(app, "multiselect", "What it may do").set_value(["read"])
    calls = pressed_again(monkeypatch, access, "create_key")
    press(app, "Make the key")
    assert calls == ["create_key"]
    assert "This is the key “shop”" in seen(app)
    (text,) = [block.value for block in app.code]
    assert text.split("_")[1] in str(live.call("GET", "/v1/keys")["items"])
    assert widget(app, "text_input", "Name").value == ""


@pytest.mark.parametrize("answers", ["done", "refused"])
def test_what_was_agreed_to_is_done_once(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    live.call("PUT", "/v1/members/ada@example.com", json={"role": "editor"})
    app = open_page(open_dashboard("admin"), "access")
    press(app, "Remove")
    if answers == "refused":
        live.call("DELETE", "/v1/members/ada@example.com")
    calls = pressed_again(monkeypatch, access, "remove_member")
    page = seen(press(app, "Yes, remove them"))
    assert calls == ["remove_member"]
    if answers == "done":
        assert "ada@example.com is not a member any more" in page
        assert not app.error
    else:
        assert "ada@example.com is not a member" in page
        assert "What they did stays in the log" in page  # the question


def test_weights_are_changed_once_and_the_form_begins_anew(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at(live.wiring.database, live.clock, users=90)
    look_often(live.wiring.database, live.clock, "spring", looks=1, every=timedelta(hours=40))
    app = open_page(open_dashboard("write"), "result", experiment="spring", show="traffic")

    def form(name: str) -> object:
        return next(item for kind in ("text_input", "checkbox") for item in getattr(app, kind) if str(item.key).startswith(name))  # fmt: skip

    form("weights_reason").set_value("why not")  # type: ignore[attr-defined]
    form("weights_sure").check()  # type: ignore[attr-defined]
    calls = pressed_again(monkeypatch, moves, "set_weights")
    press(app, "Set the weights")
    assert calls == ["set_weights"]
    assert "New users are drawn with the new weights" in app.success[0].value
    assert form("weights_sure").value is False  # type: ignore[attr-defined]
    assert form("weights_reason").value == ""  # type: ignore[attr-defined]


def test_consent_is_recorded_once(live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 2))
    told = len(live.call("GET", "/v1/users/user-1/consents")["items"])
    app = open_page(open_dashboard("write"), "users", user="user-1", show="consent")
    widget(app, "selectbox", "Category").set_value("utility")
    widget(app, "text_input", "Where they said so").set_value("shop")
    widget(app, "text_area", "Proof").set_value("slip 12")
    calls = pressed_again(monkeypatch, users, "say_consent")
    assert "user-1 has agreed to Utility" in seen(press(app, "Record it"))
    assert calls == ["say_consent"]
    assert len(live.call("GET", "/v1/users/user-1/consents")["items"]) == told + 1


@pytest.mark.parametrize("area", ["rules", "segments"])
def test_rules_and_segments_are_stored_once(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch, area: str
) -> None:
    happens(live.wiring.database, live.clock, "user-1", name="Order Completed", revenue=20)
    app = open_page(open_dashboard("write"), area, new="1")
    widget(app, "text_input", "Name").set_value("Buyers").run()
    if area == "rules":
        widget(app, "selectbox", "Event").set_value("Order Completed").run()
        widget(app, "text_input", "Tag").set_value("buyer").run()
    calls = pressed_again(monkeypatch, rules if area == "rules" else segments, "put")
    page = seen(press(app, "Save"))
    assert calls == ["put"]
    assert [item.value for item in app.success], page
    assert live.call("GET", f"/v1/{area}/buyers")["name"] == "Buyers"


def test_a_file_comes_in_once_and_the_page_goes_to_it(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(open_dashboard("write"), "import_quality")
    app.get("file_uploader")[0].upload("a.csv", b"user_id\n1\n2\n", "text/csv").run()
    press(app, "Bring them in")
    calls = pressed_again(monkeypatch, imports, "begin")
    press(app, "Yes, bring them in")
    assert calls == ["begin"]
    assert "import" in app.query_params
    assert len(live.call("GET", "/v1/imports")["items"]) == 1


def test_a_campaign_is_started_once_and_that_is_said(
    live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 21), attributes={"first_name": "Ann"})
        register(session, live.clock, *(template(name, "en_US", BODY) for name in ("reminder", "coupon")))
    live.call("PUT", "/v1/drafts/spring", json={"document": campaign("spring")})
    app = open_page(open_dashboard("write"), "new_campaign", draft="spring", step="review")
    press(app, "Launch ..")
    moved = pressed_again(monkeypatch, Client, "move")
    kept = pressed_again(monkeypatch, campaigns, "save_draft")
    page = seen(press(app, "Yes, start it"))
    assert moved == ["move"]
    assert kept == []
    assert "spring is started" in page
    assert live.call("GET", "/v1/experiments/spring")["status"] == "running"


def test_one_press_is_one_look(live: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at(live.wiring.database, live.clock, users=90)
    look_often(live.wiring.database, live.clock, "spring", looks=1, every=timedelta(hours=40))
    app = open_page(open_dashboard("read"), "result", experiment="spring")
    live.clock.advance(timedelta(hours=1))
    real, looks = experiment.report, []
    press_of = next(button for button in app.button if button.label == "Look now").click()
    pressed = app._tree.get_widget_states()  # what the browser sends, and sends again

    def slow(*args: Any, max_age: int) -> Any:
        looks.append(max_age)
        found = real(*args, max_age=max_age)
        if max_age == 0 and looks.count(0) == 1:
            press_once_more(pressed)
        return found

    monkeypatch.setattr(experiment, "report", slow)
    assert "as of 3 Dec 2026, 03:00" in seen(press_of.run())
    assert looks.count(0) == 1
    assert len(live.call("GET", "/v1/experiments/spring/reports")["items"]) == 2
