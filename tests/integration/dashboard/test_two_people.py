"""Two people at the same thing: nobody overwrites the other without being told, and what was left behind does not come back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.people import add_people, campaign
from tests.integration.registry import register, template
from tests.integration.rule_world import happens

Open = Callable[[str], AppTest]
RULE: dict[str, Any] = {
    "name": "Buyers",
    "trigger": {"type": "event", "event": "Order Completed"},
    "condition": {"country": "NL"},
    "actions": [{"type": "add_tag", "tag": "buyer"}],
}
SEGMENT: dict[str, Any] = {"name": "Buyers", "condition": {"country": "NL"}}
STORED = {"rules": RULE, "segments": SEGMENT}


@pytest.fixture(params=["rules", "segments"])
def area(request: pytest.FixtureRequest, live: Live) -> str:
    happens(live.wiring.database, live.clock, "user-1", name="Order Completed", revenue=20)
    name: str = request.param
    live.call("PUT", f"/v1/{name}/buyers", json=STORED[name])
    return name


def edit(app: AppTest, area: str) -> AppTest:
    return open_page(app, area, **{area.removesuffix("s"): "buyers", "edit": "1"})


def condition(live: Live, area: str) -> Any:
    kept = live.call("GET", f"/v1/{area}/buyers")
    return (kept["definition"] if area == "rules" else kept)["condition"]


def test_who_edits_is_told_that_somebody_else_has_changed_it(
    live: Live, open_dashboard: Open, area: str
) -> None:
    app = edit(open_dashboard("write"), area)
    widget(app, "text_input", "Name").set_value("All buyers").run()
    assert "Somebody has changed this" not in seen(app)
    live.clock.advance(timedelta(hours=1))
    live.call("PUT", f"/v1/{area}/buyers", json={**STORED[area], "condition": {"country": "BR"}})
    app.run()
    assert "Somebody has changed this since you began" in seen(app)
    assert widget(app, "text_input", "Name").value == "All buyers"
    press(app, "Save")
    assert condition(live, area) == {
        "country": "NL"
    }  # what was seen is what was stored, and not half of each
    assert live.call("GET", f"/v1/{area}/buyers")["name"] == "All buyers"


def test_a_form_that_was_left_begins_with_what_is_stored(live: Live, open_dashboard: Open, area: str) -> None:
    app = edit(open_dashboard("write"), area)
    if area == "rules":
        widget(app, "text_input", "Tag").set_value("forgotten").run()
    press(app, "Attribute")  # another row, not filled in
    app.query_params.pop("edit")
    app.run()
    edit(app, area)
    assert "Something is still missing" not in seen(app)
    if area == "rules":
        assert widget(app, "text_input", "Tag").value == "buyer"
    press(app, "Save")
    assert condition(live, area) == {"country": "NL"}


@pytest.mark.parametrize("answer", ["Write over it with mine", "Open theirs"])
def test_an_experiment_that_somebody_else_has_stored_is_not_stored_over_unseen(
    live: Live, open_dashboard: Open, answer: str
) -> None:
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 21))
        body = {"type": "BODY", "text": "Hello"}
        register(session, live.clock, *(template(name, "en_US", body) for name in ("reminder", "coupon")))
    live.call("POST", "/v1/experiments", json=campaign("old", name="Old"))
    app = open_page(open_dashboard("write"), "new_campaign", draft="old")
    widget(app, "text_input", "Name").set_value("Mine").run()
    live.clock.advance(timedelta(hours=1))
    live.call("PUT", "/v1/experiments/old", json=campaign("old", name="Theirs"))
    open_page(app, "new_campaign", step="review")
    press(app, "Store as a draft experiment")
    assert "Somebody else has stored this experiment" in seen(app)
    assert live.call("GET", "/v1/experiments/old")["name"] == "Theirs"
    press(app, answer)
    if answer == "Open theirs":
        open_page(app, "new_campaign", step="audience")
        assert widget(app, "text_input", "Name").value == "Theirs"
        assert live.call("GET", "/v1/drafts")["items"] == []
    else:
        press(app, "Store as a draft experiment")
        assert live.call("GET", "/v1/experiments/old")["name"] == "Mine"
    # What is stored by this tab is no news to it.
    open_page(app, "new_campaign", step="review")
    press(app, "Store as a draft experiment")
    assert "Somebody else has stored" not in seen(app)
