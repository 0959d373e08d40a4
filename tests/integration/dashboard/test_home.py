"""The first page and the list, against the API itself: what calls for somebody, what runs, filters that stand in the address."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from delivery.fuses import breakers
from delivery.models import NumberState
from delivery.planning import planner
from experiments import service
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.looks import campaign as looked_at
from tests.integration.looks import look_often
from tests.integration.people import add_people, campaign, start_campaign

Open = Callable[[str], AppTest]


def make_drafts(live: Live, *keys: str) -> None:
    with live.wiring.database.transaction() as session:
        for key in keys:
            service.create(session, live.clock, actor="t", document=campaign(key, name=f"Offer {key}"))


def links(app: AppTest) -> dict[str, tuple[str, str]]:
    return {
        link.proto.label.replace("\\", "").strip("*"): (link.proto.page, link.proto.query_string)
        for link in app.get("page_link")
    }


@pytest.mark.parametrize(("scope", "offered"), [("read", False), ("write", True)])
def test_an_empty_installation_says_what_to_do_next(open_dashboard: Open, scope: str, offered: bool) -> None:
    app = open_dashboard(scope)
    page = seen(app)
    assert "Nothing calls for attention." in page
    assert "There is no experiment yet." in page
    assert (("Import people" in links(app)), ("Design a campaign" in links(app))) == (offered, offered)


def test_home_shows_alerts_first_then_what_runs_with_its_effect(live: Live, open_dashboard: Open) -> None:
    key = looked_at(live.wiring.database, live.clock, users=900)
    look_often(live.wiring.database, live.clock, key, looks=3, every=timedelta(days=2))
    with live.wiring.database.transaction() as session:
        breakers.pause_all(session, live.clock, actor="ann", reason="wrong *price*")
    live.clock.advance(timedelta(days=1))
    app = open_dashboard("read")
    assert [item.value.replace("\\", "") for item in app.error] == [
        "**Everything is paused** since 7 Dec 2026, 10:00 UTC: wrong *price*"
    ]
    assert "no new report was made since 7 Dec 2026, 10:00 UTC" in app.warning[0].value
    page = seen(app)
    for words in (
        "Wake up customers who have gone quiet",
        "bought, coupon against silence",
        "as of 7 Dec 2026, 10:00 UTC: old",
        "900 :small[users]",
        "600 :small[messages]",
        "Marketing messages that one person may get: 3 a week.",
    ):
        assert words in page, words
    assert "points**" in page
    assert links(app)["Open the experiment"] == ("result", f"experiment={key}")
    assert links(app)["Open delivery"][0] == "delivery"
    assert {item.label: item.value for item in app.metric}["Sending"] == "paused"


def test_home_says_what_is_due_and_that_nobody_sends(live: Live, open_dashboard: Open) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 61))
        start_campaign(session, live.clock, campaign("spring"))
    planner.plan_tick(live.wiring.database, live.clock, settings=live.wiring.settings)
    live.clock.advance(timedelta(minutes=1))
    app = open_dashboard("read")
    due = {item.label: item.value for item in app.metric}["Due now"]
    assert int(due) > 0
    assert f"{due} messages are due, the first since 1 Dec 2026, 10:00 UTC" in app.error[0].value


def test_home_says_how_many_people_whatsapp_allows(live: Live, open_dashboard: Open) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 61))
        start_campaign(session, live.clock, campaign("spring"))
        session.add(NumberState(number="1", unique_users=1000, unique_users_at=live.clock.now()))
    app = open_dashboard("read")
    assert {item.label: item.value for item in app.metric}["People in 24 hours"] == "0 of 1,000"
    assert [item.proto.text for item in app.get("progress")] == ["0% of the limit"]


def test_home_in_chinese(live: Live, open_dashboard: Open) -> None:
    looked_at(live.wiring.database, live.clock, users=150)
    look_often(live.wiring.database, live.clock, "spring", looks=2, every=timedelta(days=3))
    app = open_dashboard("read")
    widget(app, "selectbox", "Language").set_value("zh").run()
    page = seen(app)
    for words in ("没有需要处理的事项。", "进行中（1）与已暂停（0）的实验", "截至 2026年12月7日 10:00 UTC", "150 :small[名用户]"):  # fmt: skip
        assert words in page, words


def test_the_list_is_narrowed_by_state_and_words_that_stand_in_the_address(
    live: Live, open_dashboard: Open
) -> None:
    make_drafts(live, "a1", "a2", "b1")
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 31))
        start_campaign(session, live.clock, campaign("run", name="Offer that runs"))
    app = open_page(open_dashboard("read"), "experiments", status="draft", search="offer a")
    assert ("Offer a2" in seen(app), "Offer b1" in seen(app), "that runs" in seen(app)) == (
        True,
        False,
        False,
    )
    assert "0 running · 0 paused · 0 stopped · 2 draft" in seen(app)
    widget(app, "text_input", "Name or key").set_value("").run()
    assert "1 running · 0 paused · 0 stopped · 3 draft" in seen(app)
    app.button_group[0].set_value("running").run()
    assert (app.query_params["status"], "Offer a2" in seen(app)) == ("running", False)
    assert "Offer that runs" in seen(app)
    widget(app, "text_input", "Name or key").set_value("nothing").run()
    assert "No experiment is like this." in seen(app)


def test_a_long_list_is_paged_by_links(live: Live, open_dashboard: Open) -> None:
    make_drafts(live, *(f"n{number:02}" for number in range(25)))
    app = open_page(open_dashboard("read"), "experiments")
    assert ("Offer n24" in seen(app), "Offer n05" in seen(app), "Offer n04" in seen(app)) == (
        True,
        True,
        False,
    )
    where, query = links(app)["Older"]
    assert where == "experiments"
    name, _, cursor = query.partition("=")
    open_page(app, "experiments", **{name: cursor.replace("%3D", "=")})
    assert ("Offer n04" in seen(app), "Offer n05" in seen(app)) == (True, False)
    assert "Older" not in links(app)
    assert links(app)["Newest"] == ("experiments", "")


def test_an_empty_list_says_what_to_do_next(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "experiments")
    assert "`touchstone apply campaign.yaml`" in seen(app)
    assert "Design a campaign" in links(app)
    assert press(app, "Refresh")
