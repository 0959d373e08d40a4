"""The delivery page over the API: what it says, and the switch that stops everything."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from delivery.fuses import breakers
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live

Open = Callable[[str], AppTest]


def test_everything_is_paused_with_a_reason_and_goes_on(open_dashboard: Open, live: Live) -> None:
    app = open_page(open_dashboard("write"), "delivery")
    assert "Nothing has been sent yet" in seen(app)
    assert "cannot be called back" in seen(press(app, "Pause everything"))
    yes = next(button for button in app.button if button.label == "Yes, pause everything")
    assert yes.disabled  # until a reason is given
    widget(app, "text_input", "Why").set_value("the shop is closed").run()
    press(app, "Yes, pause everything")
    assert live.call("GET", "/v1/delivery/summary")["paused"]
    audit = live.call("GET", "/v1/audit")["items"][0]
    assert "the shop is closed" in str(audit)
    assert "Everything is paused" in seen(app)
    assert "Reason: the shop is closed" in seen(app)
    press(press(app, "Let sending go on"), "Yes, go on")
    assert not live.call("GET", "/v1/delivery/summary")["paused"]
    assert "Everything is paused" not in seen(app)


def test_an_open_fuse_is_said_and_closed(open_dashboard: Open, live: Live) -> None:
    with live.wiring.database.transaction() as session:
        breakers.trip(
            session,
            kind=breakers.Kind.TEMPLATE,
            key="spring/en_US",
            at=live.clock.now(),
            until=None,
            code=132015,
            reason="paused for its quality",
        )
    app = open_page(open_dashboard("write"), "delivery")
    assert "Template spring/en_US" in seen(app)
    assert "paused for its quality" in seen(app)
    press(press(app, "Close"), "Yes, close it")
    assert live.call("GET", "/v1/delivery/breakers")["items"] == []
    assert "No fuse is open" in seen(app)


def test_a_reader_sees_the_caps_and_can_switch_nothing(open_dashboard: Open, live: Live) -> None:
    live.call(
        "PUT",
        "/v1/delivery/policy",
        json={"marketing": {"week": 5}, "quiet_hours": {"start": "21:00", "end": "08:00"}},
    )
    app = open_page(open_dashboard("read"), "delivery")
    rows = {row["Category"]: row for row in app.table[-1].value.to_dict("records")}
    assert rows["Marketing"]["A week"] == "5"
    assert rows["Utility"]["A week"] == "no cap"
    assert "21:00" in seen(app)
    assert "Pause everything" not in labels(app)


def test_it_is_told_in_chinese(open_dashboard: Open) -> None:
    app = open_dashboard("read")
    widget(app, "selectbox", "Language").set_value("zh").run()
    assert "没有熔断器断开" in seen(open_page(app, "delivery"))
