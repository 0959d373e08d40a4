"""A number beyond what a field is for is named beside it and kept, and no figure of the number before stands as if it were its answer."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import add_people
from tests.integration.rule_world import happens

Opened = Callable[[str], AppTest]
BEYOND = "From 0 to 100."
DRAFT: dict[str, Any] = {
    "key": "spring",
    "name": "Spring",
    "trigger": {"type": "once"},
    "variants": [
        {"key": "silence", "control": True},
        {"key": "hello", "message": {"template": "x", "language": "en"}},
    ],
    "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "3d"}],
    "plan": {"method": "fixed", "mde": 0.1},
}


@pytest.fixture
def app(live: Live, open_dashboard: Opened) -> AppTest:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 41))
    happens(live.wiring.database, live.clock, "user-1", name="Order", revenue=20)
    live.call("PUT", "/v1/drafts/spring", json={"document": DRAFT})
    return open_page(open_dashboard("write"), "new_campaign", draft="spring", step="plan")


def enter(app: AppTest, label: str, value: float | None) -> str:
    widget(app, "number_input", label).set_value(value).run()
    return seen(app)


def plan_of(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = live.call("GET", "/v1/drafts/spring")["document"]["plan"]
    return found


def test_the_wizard_keeps_and_names_it_and_the_api_refuses_it(live: Live, app: AppTest) -> None:
    press(app, "Work out the plan")
    assert app.metric, app.session_state["campaign_work"].mistakes
    page = enter(app, "Power (%)", 120.0)
    assert BEYOND in page
    assert not app.metric
    assert plan_of(live)["power"] == 1.2
    press(app, "Work out the plan")
    assert "plan.power" in [mistake.field for mistake in app.session_state["campaign_work"].mistakes]
    assert not app.metric
    assert "error" in app.button_group(key="step").options[3]
    assert BEYOND not in enter(app, "Power (%)", 80.0)
    press(app, "Work out the plan")
    assert app.metric
    assert "error" not in app.button_group(key="step").options[3]
    assert "From" not in enter(
        app, "Smallest effect worth finding (%)", 200.0
    )  # three times as much is an effect
    assert plan_of(live)["mde"] == 2
    assert "From 0 to 10,000." in enter(app, "Smallest effect worth finding (%)", -5.0)


def test_what_was_said_of_an_assumption_goes_with_it(app: AppTest) -> None:
    label = "First primary metric, without the campaign (%)"
    assert BEYOND in enter(app, label, 200.0)
    press(app, "Work out the plan")
    assert "is a share between 0 and 1, not 2" in seen(app)
    page = enter(app, label, 2.0)
    assert "is a share between 0 and 1" not in page
    assert BEYOND not in page
    press(app, "Work out the plan")
    assert app.session_state["campaign_work"].assumptions == {"baseline": {"bought": 0.02}}
    assert app.metric
    assert not [option for option in app.button_group(key="step").options if "error" in option]


def test_the_planner_withholds_its_figures(open_dashboard: Opened) -> None:
    app = open_page(open_dashboard("read"), "planner")
    assert app.metric
    page = enter(app, "Rate without it (%)", 120.0)
    assert BEYOND in page
    assert "beyond its bounds" in page
    assert not app.metric
    assert BEYOND not in enter(app, "Rate without it (%)", 12.0)
    assert app.metric
