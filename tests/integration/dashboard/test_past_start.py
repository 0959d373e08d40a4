"""A campaign that could not be started any more is told so before the question whether to start it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from streamlit.testing.v1 import AppTest

from experiments.clock import format_moment
from tests.integration.dashboard.browsing import labels, open_page, press, seen
from tests.integration.dashboard.conftest import Live
from tests.integration.people import add_people

DAY = timedelta(days=1)
DRAFT: dict[str, Any] = {
    "key": "spring",
    "name": "Spring",
    "variants": [
        {"key": "silence", "control": True},
        {"key": "hello", "message": {"template": "x", "language": "en"}},
    ],
    "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "3d"}],
    "plan": {"method": "fixed", "mde": 0.1},
}
SOUND = "Nothing is wrong with the design"
PAST = "is long past; leave out `at` to begin at once"


def draft(live: Live, after: timedelta) -> None:
    trigger = {"type": "once", "at": format_moment(live.clock.now() + after)}
    live.call("PUT", "/v1/drafts/spring", json={"document": {**DRAFT, "trigger": trigger}})


def test_the_check_says_that_the_start_is_past(live: Live, open_dashboard: Callable[[str], AppTest]) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 4))
    draft(live, -3 * DAY)
    app = open_page(open_dashboard("write"), "new_campaign", draft="spring", step="review")
    press(app, "Check it")
    assert PAST in seen(app)
    assert SOUND not in seen(app)
    assert "error" in app.button_group(key="step").options[0]
    press(app, "Launch ..")
    assert PAST in seen(app)
    assert "Yes, start it" not in labels(app)
    assert live.call("GET", "/v1/experiments/spring")["status"] == "draft"


def test_a_refused_start_takes_back_that_nothing_is_wrong(
    live: Live, open_dashboard: Callable[[str], AppTest]
) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 4))
    draft(live, DAY)
    app = open_page(open_dashboard("write"), "new_campaign", draft="spring", step="review")
    press(app, "Check it")
    assert "Take part" in [item.label for item in app.metric]
    press(app, "Launch ..")
    live.clock.advance(3 * DAY)
    press(app, "Yes, start it")
    assert PAST in seen(app)
    assert "One thing is wrong" in seen(app)
    assert not app.metric  # what was checked is told no more
