"""The page of segments against the API itself: list, one of them, its form, uploads, overlap, roles, Chinese."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from targeting.segments import attributes
from tests.integration.crowd import add_crowd
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live

Open = Callable[[str], AppTest]


@pytest.fixture
def crowd(live: Live) -> Live:
    with live.wiring.database.transaction() as session:
        add_crowd(session, live.clock)
    attributes.discover(live.wiring.database, live.clock, rng=np.random.default_rng(1))
    return live


def put(live: Live, key: str, condition: Any = None, name: str = "") -> None:
    live.call("PUT", f"/v1/segments/{key}", json={"name": name or key, "condition": condition})


def test_without_segments_the_page_says_what_one_is_and_how_to_begin(open_dashboard: Open) -> None:
    editor = seen(open_page(open_dashboard("write"), "segments"))
    assert "There is no segment yet" in editor
    assert "Make the first segment" in editor
    assert "Make the first segment" not in seen(open_page(open_dashboard("read"), "segments"))


def test_the_list_has_counts_and_is_searched_by_the_api(crowd: Live, open_dashboard: Open) -> None:
    put(crowd, "ones", {"plan": "plan-1"}, "The *first* plan")
    put(crowd, "twos", {"plan": "plan-2"}, "Others")
    crowd.call("POST", "/v1/segments/ones/refresh")
    app = open_page(open_dashboard("read"), "segments")
    words = seen(app)
    assert all(text in words for text in ("The *first* plan", "plan is plan-1", "15", "vips", "list"))
    assert "not counted yet" in words
    assert "New segment" not in words
    app = open_page(open_dashboard("read"), "segments", search="FIRST")
    assert widget(app, "text_input", "Search").value == "FIRST"
    assert "plan is plan-1" in seen(app)
    assert "plan is plan-2" not in seen(app)
    # Where a page of one search begins means nothing in another.
    app = open_page(app, "segments", cursor="9")
    widget(app, "text_input", "Search").set_value("first").run()
    assert "cursor" not in app.query_params
    assert "plan is plan-1" in seen(app)
    widget(app, "text_input", "Search").set_value("nothing like it").run()
    assert "No segment has nothing like it" in seen(app)


def test_a_segment_is_made_changed_and_deleted(crowd: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "segments", new="1")
    assert next(button for button in app.button if button.label == "Save").disabled
    widget(app, "text_input", "Name").set_value("Second plan").run()
    assert widget(app, "text_input", "Key").value == "second-plan"
    widget(app, "text_input", "Key").set_value("NOT A KEY").run()
    assert "A key has Latin letters" in seen(app)
    press(app, "Attribute")
    widget(app, "selectbox", "Attribute").set_value("plan").run()
    widget(app, "selectbox", "Value").set_value("plan-2").run()
    assert next(button for button in app.button if button.label == "Save").disabled
    widget(app, "text_input", "Key").set_value("second").run()
    press(app, "Save")
    assert "Second plan is saved" in seen(app)
    assert "plan is plan-2" in seen(app)
    assert crowd.call("GET", "/v1/segments/second")["condition"] == {"plan": "plan-2"}

    app = open_page(open_dashboard("write"), "segments", segment="second", edit="1")
    widget(app, "selectbox", "Value").set_value("plan-3").run()
    press(app, "Save")
    assert crowd.call("GET", "/v1/segments/second")["condition"] == {"plan": "plan-3"}

    app = open_page(open_dashboard("write"), "segments", segment="second")
    press(app, "Refresh")
    assert "Refreshed: 15 members now; 15 joined and 0 left" in seen(app)
    assert "15 members" in seen(app)
    press(app, "Delete")
    assert "Its members are forgotten" in seen(app)
    press(app, "No, leave it")
    assert "Its members are forgotten" not in seen(app)
    press(app, "Delete")
    press(app, "Yes, delete it")
    assert "Second plan is deleted" in seen(app)
    assert [item["key"] for item in crowd.call("GET", "/v1/segments")["items"]] == ["vips"]


def test_a_segment_that_is_used_says_by_what_and_is_not_deleted(crowd: Live, open_dashboard: Open) -> None:
    put(crowd, "mine", {"$inSegment": "vips"})
    app = open_page(open_dashboard("write"), "segments", segment="vips")
    assert "Segment mine" in seen(app)
    press(app, "Delete")
    press(app, "Yes, delete it")
    assert "is named by segment 'mine'" in seen(app)
    assert crowd.call("GET", "/v1/segments/vips")["kind"] == "list"


def test_a_list_takes_a_file_and_tells_what_was_left_out(crowd: Live, open_dashboard: Open) -> None:
    put(crowd, "staff")
    app = open_page(open_dashboard("write"), "segments", segment="staff")
    assert "Nobody is in it" in seen(app)
    app.get("file_uploader")[0].upload("staff.csv", b"user_id\nuser-1\nghost\nuser-2\n", "text/csv").run()
    press(app, "Upload")
    assert "The list has 2 users now: 2 came, 0 went, 1 lines were left out" in seen(app)
    assert "ghost" in seen(app)
    assert crowd.call("GET", "/v1/segments/staff")["size"] == 2


def test_a_reader_sees_members_without_phone_numbers_and_no_buttons(
    crowd: Live, open_dashboard: Open
) -> None:
    crowd.call("PUT", "/v1/segments/vips/members", json={"user_ids": ["user-1", "user-3"]})
    app = open_page(open_dashboard("read"), "segments", segment="vips")
    words = seen(app)
    assert "user-3" in words
    assert "2 users" in words
    assert "555" not in words
    assert not {"Delete", "Refresh", "Upload"} & set(labels(app))
    assert "may read only" in seen(open_page(open_dashboard("read"), "segments", new="1"))
    assert "may read only" in seen(open_page(open_dashboard("read"), "segments", segment="vips", edit="1"))


def test_the_overlap_is_in_the_address(crowd: Live, open_dashboard: Open) -> None:
    put(crowd, "ones", {"plan": "plan-1"}, "Same name")
    put(crowd, "new", {"tags": {"$in": ["new"]}}, "Same name")
    app = open_page(open_dashboard("read"), "segments")
    assert "Choose at least two" in seen(app)
    chooser = widget(app, "multiselect", "Segments to compare")
    chooser.set_value(["ones", "new"]).run()
    [table] = app.table
    frame = table.value
    assert list(frame.columns)[1:] == ["Same name (ones)", "Same name (new)"]
    found = crowd.call("GET", "/v1/segments/overlap?a=ones&b=new")
    share = 100 * found["both"] / found["a"]["size"]
    assert frame.iloc[0, 2] == f"{found['both']} ({share:.1f}%)"
    assert app.query_params["overlap"] == ["ones", "new"]
    # The way back in the browser changes the address alone.
    app.query_params["overlap"] = ["ones", "vips"]
    app.run()
    assert widget(app, "multiselect", "Segments to compare").value == ["ones", "vips"]
    assert app.query_params["overlap"] == ["ones", "vips"]


def test_an_unknown_segment_is_an_error_in_one_sentence(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "segments", segment="nope")
    assert any("there is no segment 'nope'" in error.value for error in app.error)
    assert not app.exception


def test_the_page_speaks_chinese(crowd: Live, open_dashboard: Open) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Language").set_value("zh").run()
    words = seen(open_page(app, "segments"))
    assert "新建分群" in words
    assert "名单" in words
    assert "Overlap" not in words


def test_what_was_seen_is_shown_as_stale_while_the_api_is_away(
    crowd: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(open_dashboard("read"), "segments", segment="vips")
    monkeypatch.setattr(
        httpx.Client, "request", lambda *_a, **_k: (_ for _ in ()).throw(httpx.ConnectError("gone"))
    )
    words = seen(app.run())
    assert "may be out of date" in words
    assert "vips" in words
