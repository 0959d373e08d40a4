"""The page Simulation against the API itself: a campaign in a made-up world, under every policy."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from dashboard.campaign.documents import to_yaml
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import campaign
from tests.integration.planned_world import METRICS

Open = Callable[[str], AppTest]
STREAM = {"trigger": {"type": "event", "event": "Signed Up"}, "metrics": METRICS[:1]}
SMALL = {"intervals": "8", "runs": "40", "users_per_interval": "400"}


def draft(live: Live, **changes: object) -> None:
    document = campaign(key="autumn", name="Autumn", **{**STREAM, **changes})
    live.call("PUT", "/v1/drafts/autumn", json={"document": document})


def test_a_stream_is_played_under_every_policy_and_advised(live: Live, open_dashboard: Open) -> None:
    draft(live)
    app = open_page(open_dashboard("read"), "simulation", campaign="draft:autumn", **SMALL)
    assert "Describe the world" in seen(app)
    rates = [item for item in app.number_input if item.label == "Convert (%)"]
    assert [item.key for item in rates] == ["rate.silence", "rate.reminder", "rate.coupon"]
    rates[2].set_value(30.0).run()
    press(app, "Run the simulation")
    page = seen(app)
    assert "40 campaigns under each policy, of 3,200 users over 8 intervals of 1d" in page
    assert "Take " in page
    assert "best here: coupon" in page
    table = app.table[0].value
    assert list(table.columns) == ["Measure", "Fixed weights", "Thompson", "Top two"]
    assert table["Measure"][0] == "Lost (regret), conversions"
    assert list(table["Measure"][2:6]) == [
        "The report ships a variant",
        "– one that is not the best, or no better than the control",
        "The report keeps the control",
        "Time to the report's decision",
    ]
    assert all("±" in str(table[name][0]) for name in table.columns[1:])
    # Another world is another question.
    rates = [item for item in app.number_input if item.label == "Convert (%)"]
    rates[1].set_value(7.0).run()
    assert "The question has changed" in seen(app)
    assert len(app.table) == 0


def test_a_pasted_broadcast_is_played_in_waves(live: Live, open_dashboard: Open) -> None:
    document = campaign(trigger={"type": "once"}, metrics=METRICS[:1])
    app = open_page(
        open_dashboard("read"), "simulation", source="pasted", yaml=to_yaml(document), truth="lifts", **SMALL
    )
    lifts = [item for item in app.number_input if item.label == "Lift (%)"]
    assert [item.key for item in lifts] == ["lift.reminder", "lift.coupon"]
    press(app, "Run the simulation")
    page = seen(app)
    assert "As a broadcast: everybody at once, or in 10 waves" in page
    waves = app.table[0].value
    assert "The rest got a winner" in list(waves["Measure"])


def test_what_cannot_be_is_told_where_it_was_said(live: Live, open_dashboard: Open) -> None:
    draft(live)
    more = {**SMALL, "runs": "10000", "intervals": "100"}
    app = open_page(open_dashboard("read"), "simulation", campaign="draft:autumn", **more)
    press(app, "Run the simulation")
    assert ":red[:material/error: 10000 runs of this campaign take too long; at most" in seen(app)
    [text] = [seen(open_page(app, "simulation", source="pasted", yaml="a: [1"))]
    assert "line" in text


def test_amounts_ask_for_their_mean_and_an_empty_page_says_how_to_begin(
    live: Live, open_dashboard: Open
) -> None:
    app = open_page(open_dashboard("read"), "simulation")
    assert "Design one first" in seen(app)
    draft(live, metrics=[{**METRICS[1], "role": "primary", "covariate": None}])
    app = open_page(app, "simulation", campaign="draft:autumn", **SMALL)
    values = [item for item in app.number_input if item.label == "Mean of those who have one"]
    assert len(values) == 3
    press(app, "Run the simulation")
    # The control's mean was not said.
    assert ":red[:material/error:" in seen(app)
    next(item for item in app.number_input if item.key == "value.silence").set_value(40.0)
    press(app, "Run the simulation")
    assert "Lost (regret), revenue" in list(app.table[0].value["Measure"])


def test_in_chinese(live: Live, open_dashboard: Open) -> None:
    draft(live)
    app = open_dashboard("read")
    app.session_state["language"] = "zh"
    app = open_page(app, "simulation", campaign="draft:autumn", **SMALL)
    press(app, "运行模拟")
    assert "建议采用" in seen(app)
    assert widget(app, "number_input", "间隔数").value == 8
