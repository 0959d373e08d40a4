"""The page of users against the API itself: search, one user's story, what editors and admins do, what readers do not see."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from api import jobs
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import campaign

Open = Callable[[str], AppTest]
PHONE = "+12025550123"


@pytest.fixture
def ann(live: Live) -> Live:
    """Somebody with a number, a zone, consent, events and a place in a running experiment."""
    about = {"user_id": "ann-1", "phone": PHONE, "time_zone": "Asia/Tokyo", "attributes": {"plan": "gold"}}
    live.call("POST", "/v1/users", json=about)
    live.call("POST", "/v1/users", json={"user_id": "bob"})
    agreed = {"category": "marketing", "granted": True, "source": "checkout", "evidence": "form 7 *signed*"}
    live.call("POST", "/v1/users/ann-1/consent", json=agreed)
    for number in range(52):
        event = {
            "userId": "ann-1",
            "event": f"Viewed {number}",
            "messageId": f"m{number}",
            "timestamp": f"2026-11-{1 + number // 2:02d}T0{number % 2}:00:00Z",
            "properties": {"page": "*home*"},
        }
        live.call("POST", "/v1/track", json=event)
    live.call("POST", "/v1/experiments", json=campaign(audience={"condition": {"plan": "gold"}}))
    live.call("POST", "/v1/experiments/spring/start")
    live.clock.advance(timedelta(minutes=1))
    jobs.plan(live.wiring)
    return live


def user(live: Live) -> Any:
    return live.call("GET", "/v1/users/ann-1")


def show(app: AppTest, section: str = "story", **query: str) -> AppTest:
    return open_page(app, "users", user="ann-1", show=section, **query)


def test_without_users_the_page_says_where_they_come_from(open_dashboard: Open) -> None:
    for scope, links in (("write", 2), ("read", 0)):
        app = open_page(open_dashboard(scope), "users")
        assert "There are no users yet." in seen(app)
        offered = [link.proto.label for link in app.get("page_link")]
        assert offered.count("Bring people in from a file") == links


def test_users_are_found_by_the_beginning_of_their_id(ann: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "users", q="an")
    assert widget(app, "text_input", "User id").value == "an"
    page = seen(app)
    assert ("**ann-1**" in page, "**bob**" in page, PHONE in page) == (True, False, False)
    assert "has a phone number" in page
    # Each value is labelled where it stands.
    assert ":small[:gray[Agreed to]]  \nMarketing" in page
    zones = [item.value for item in app.markdown if "Time zone" in item.value]
    assert ":small[:gray[Time zone]]  \nAsia/\u200bTokyo" in zones  # a narrow column parts it there
    assert "Find" not in labels(app)
    assert "No user id begins with Zo" in seen(widget(app, "text_input", "User id").set_value("Zo").run())


def test_a_list_is_paged_and_a_page_of_one_search_is_none_of_another(
    live: Live, open_dashboard: Open
) -> None:
    for number in range(27):
        live.call("POST", "/v1/users", json={"user_id": f"u-{number:02}"})
    app = open_page(open_dashboard("read"), "users", q="u-")
    assert (":gray[never asked]" in seen(app), "**u-24**" in seen(app), "**u-25**" in seen(app)) == (
        True,
        True,
        False,
    )
    following = next(link.proto for link in app.get("page_link") if link.proto.label == "Next page")
    query = {name: values[0] for name, values in parse_qs(following.query_string).items()}
    open_page(app, "users", **query)
    assert ("**u-25**" in seen(app), "**u-24**" in seen(app)) == (True, False)
    assert widget(app, "text_input", "User id").value == "u-"
    widget(app, "text_input", "User id").set_value("u-0").run()
    assert "**u-00**" in seen(app)


def test_an_editor_finds_somebody_by_number_and_the_address_does_not_tell_it(
    ann: Live, open_dashboard: Open
) -> None:
    app = open_page(open_dashboard("write"), "users")
    widget(app, "text_input", "Phone number").set_value("+12025550199")
    assert "no user has this number" in seen(press(app, "Find"))
    widget(app, "text_input", "Phone number").set_value("+1 202 555 0123")
    page = seen(press(app, "Find"))
    assert PHONE in page
    assert "Asia/Tokyo, where it is" in page
    address = str(dict(app.query_params))
    assert ("ann-1" in address, "0123" in address) == (True, False)


def test_the_story_merges_what_happened_in_both_zones_page_by_page(ann: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("read"))
    page = seen(app)
    assert len(app.get("vega_lite_chart")) == 1
    for words in (
        "For them (Asia/Tokyo)",
        "Viewed 51",
        "page: *home*",
        "Marketing: agreed",
        "spring: got variant",
        "26 Nov 2026, 10:00 JST",
    ):
        assert words in page
    assert PHONE not in page
    assert ("Viewed 1\n" in page, "Viewed 2\n" in page) == (False, True)
    earlier = next(link.proto for link in app.get("page_link") if link.proto.label == "Earlier")
    query = dict(part.split("=") for part in earlier.query_string.split("&"))
    app = show(app, events=query["events"], until=query["until"].replace("%3A", ":").replace("%2B", "+"))
    page = seen(app)
    assert ("Viewed 1\n" in page, "Viewed 0\n" in page, "Viewed 2\n" in page) == (True, True, False)
    assert "got variant" not in page
    assert "The newest" in page


def test_why_is_told_in_words_for_each_experiment(ann: Live, open_dashboard: Open) -> None:
    page = seen(show(open_dashboard("read"), "experiments"))
    assert "**spring**" in page
    assert "in epoch 0, where that had probability 0.333" in page or "in epoch 1" in page
    assert "It was drawn with probability 33.3%" in page


def test_consent_is_withdrawn_at_once_and_recorded_with_its_proof(ann: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "consent")
    assert "form 7 *signed*" in seen(app)
    press(app, "Withdraw: Marketing")
    assert "Withdraw the consent of ann-1 to Marketing?" in seen(app)
    assert user(ann)["consents"][0]["granted"] is True
    page = seen(press(app, "Yes, withdraw it"))
    assert "nothing of the category Marketing goes out to ann-1 any more" in page
    assert "Marketing: withdrew" in page
    assert user(ann)["consents"][0]["granted"] is False
    assert "Withdraw: Marketing" not in labels(app)
    assert "are both needed" in seen(press(app, "Record it"))
    widget(app, "text_input", "Where they said so").set_value("shop")
    widget(app, "text_area", "Proof").set_value("slip 12")
    assert "ann-1 has agreed to Marketing" in seen(press(app, "Record it"))
    newest = ann.call("GET", "/v1/users/ann-1/consents")["items"][0]
    assert (newest["granted"], newest["source"], newest["evidence"]) == (True, "shop", "slip 12")


def test_attributes_and_tags_are_set_and_taken_away(ann: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "profile")
    widget(app, "text_input", "Attribute").set_value("age")
    widget(app, "selectbox", "Kind").set_value("number").run()
    widget(app, "text_input", "Value").set_value("old")
    assert "this is not a number" in seen(press(app, "Save"))
    widget(app, "text_input", "Value").set_value("41")
    assert "age is 41 now" in seen(press(app, "Save"))
    widget(app, "text_input", "New tag").set_value("vip")
    assert "The tag vip is on" in seen(press(app, "Put it on"))
    assert user(ann)["attributes"] == {"plan": "gold", "age": 41, "tags": ["vip"]}
    assert "The tag vip is off" in seen(press(app, "vip"))
    assert user(ann)["attributes"] == {"plan": "gold", "age": 41, "tags": []}
    widget(app, "text_input", "Attribute").set_value("age")
    widget(app, "selectbox", "Kind").set_value("none").run()
    assert "age is taken away" in seen(press(app, "Save"))
    assert user(ann)["attributes"] == {"plan": "gold", "tags": []}


def test_a_reader_changes_nothing_and_sees_no_proof(ann: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("read"), "consent")
    assert "form 7" not in seen(app)
    assert not {"Withdraw: Marketing", "Record it"} & set(labels(app))
    app = show(app, "profile")
    assert not {"Save", "Put it on"} & set(labels(app))
    assert "Copy and erase" not in str(app.get("button_group"))
    assert "Erase this person" not in labels(show(app, "rights"))


def test_an_admin_erases_after_a_question_that_names_the_user(ann: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("admin"), "rights")
    assert "Download the copy" in [item.proto.label for item in app.get("download_button")]
    press(app, "Erase this person")
    assert "Erase ann-1 for good?" in seen(app)
    page = seen(press(app, "Yes, erase ann-1"))
    assert "ann-1 is erased." in page
    assert "**ann-1**" not in page
    assert [item["user_id"] for item in ann.call("GET", "/v1/users?q=ann")["items"]] == []


def test_an_unknown_user_is_told_and_chinese_is_spoken(ann: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "users", user="nobody")
    assert "there is no user 'nobody'" in app.error[0].value
    widget(app, "selectbox", "Language").set_value("zh").run()
    page = seen(show(app))
    assert "用户当地（Asia/Tokyo）" in page
    assert "营销：同意" in page
