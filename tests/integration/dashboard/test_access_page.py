"""The page Access against the API itself: members, keys, the log, and who may see it."""

import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import APP, labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live

Open = Callable[[str], AppTest]


def put(live: Live, email: str, role: str, **more: Any) -> None:
    live.call("PUT", f"/v1/members/{email}", json={"role": role, **more})


def works(live: Live, key: str) -> bool:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{live.url}/v1/keys/self", headers=headers).is_success


@pytest.mark.parametrize("scope", ["read", "write"])
def test_only_admins_see_it(live: Live, open_dashboard: Open, scope: str) -> None:
    put(live, "ada@example.com", "admin")
    words = seen(open_page(open_dashboard(scope), "access"))
    assert "This page is for admins" in words
    assert "ada@example.com" not in words


def test_without_members_the_page_says_how_to_begin_and_adds_the_first(
    live: Live, open_dashboard: Open
) -> None:
    app = open_page(open_dashboard("admin"), "access")
    assert "Nobody may sign in with an account yet" in seen(app)
    press(app, "Save")
    assert "Enter the e-mail of whom you mean" in seen(app)
    widget(app, "text_input", "E-mail").set_value("Ada@Example.com")
    widget(app, "radio", "Role").set_value("editor")
    press(app, "Save")
    assert "Ada@Example.com becomes editor: also sees phone numbers" in seen(app)
    assert live.call("GET", "/v1/members")["items"] == []
    press(app, "Yes, save it")
    words = seen(app)
    assert "Ada@Example.com is editor now." in words
    assert "**ada@example.com**" in words
    assert "Last signed in: never" in words


def test_a_member_is_switched_off_and_removed_after_a_question(live: Live, open_dashboard: Open) -> None:
    put(live, "ada@example.com", "editor")
    app = open_page(open_dashboard("admin"), "access")
    press(app, "Change")
    assert widget(app, "text_input", "E-mail").value == "ada@example.com"
    assert widget(app, "radio", "Role").value == "editor"
    widget(app, "checkbox", "Switched off").set_value(True)
    assert "will not be able to sign in any more" in seen(press(app, "Save"))
    press(app, "Yes, save it")
    assert live.call("GET", "/v1/members/ada@example.com")["disabled"] is True
    assert "switched off" in seen(app)
    assert widget(app, "text_input", "E-mail").value == ""
    assert "What they did stays in the log" in seen(press(app, "Remove"))
    press(app, "No, leave it")
    assert len(live.call("GET", "/v1/members")["items"]) == 1
    press(press(app, "Remove"), "Yes, remove them")
    assert live.call("GET", "/v1/members")["items"] == []
    assert "ada@example.com is not a member any more" in seen(app)


def test_an_e_mail_that_is_none_is_refused_in_the_words_of_the_api(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("admin"), "access")
    widget(app, "text_input", "E-mail").set_value("nobody")
    press(press(app, "Save"), "Yes, save it")
    assert "is not an e-mail" in seen(app)


def test_a_key_is_shown_once_works_and_is_revoked(live: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("admin"), "access", show="keys")
    press(app, "Make the key")
    assert "A key needs a name" in seen(app)
    widget(app, "text_input", "Name").set_value("*shop*")
    widget(app, "multiselect", "What it may do").set_value(["read"])
    press(app, "Make the key")
    (text,) = [block.value for block in app.code]
    assert works(live, text)
    assert "This is the key “*shop*”. It is shown this once" in seen(app)
    press(app, "I have copied it")
    assert not app.code
    app.button(key=f"revoke:{text.split('_')[1]}").click().run()
    assert "stops working at once" in seen(app)
    assert works(live, text)
    press(app, "Yes, revoke it")
    assert not works(live, text)
    assert "does not work any more" in seen(app)


def test_the_log_says_who_changed_what_and_is_filtered_by_the_address(
    live: Live, open_dashboard: Open
) -> None:
    put(live, "ada@example.com", "reader")
    put(live, "ada@example.com", "admin")
    put(live, "bob@example.com", "reader")
    asked = {"show": "log", "kind": "member", "subject": "ada@example.com"}
    app = open_page(open_dashboard("admin"), "access", **asked)
    words = seen(app)
    assert "role: reader → admin" in words
    assert "key:admin key:" in words
    assert "bob@example.com" not in words
    widget(app, "text_input", "By whom").set_value("ada@example.com").run()
    assert "Nothing of that kind is in the log" in seen(app)


def test_the_log_is_paged_and_its_filters_go_along(live: Live, open_dashboard: Open) -> None:
    for number in range(51):
        put(live, f"p{number}@example.com", "reader")
    app = open_page(open_dashboard("admin"), "access", show="log", kind="member")
    (following,) = [link.proto for link in app.get("page_link") if link.proto.label == "Next page"]
    assert "kind=member" in following.query_string
    cursor = following.query_string.split("cursor=")[1].split("&")[0]
    words = seen(open_page(app, "access", show="log", kind="member", cursor=cursor))
    assert "member p0@example.com" in words
    assert "member p1@example.com" not in words


def test_it_speaks_chinese(live: Live, open_dashboard: Open) -> None:
    put(live, "ada@example.com", "reader")
    app = open_dashboard("admin")
    widget(app, "selectbox", "Language").set_value("zh").run()
    words = seen(open_page(app, "access"))
    assert "最近登录：从未" in words
    assert "保存" in labels(app)


def test_without_an_account_set_up_only_a_key_is_asked_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--api-url", live.url])
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert labels(app) == ["Sign in"]
