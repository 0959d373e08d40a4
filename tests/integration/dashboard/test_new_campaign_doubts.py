"""A campaign whose form is right and whose sense is doubtful: what the wizard says of it, and that it may be started all the same."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.campaign import metrics
from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.dashboard.test_new_campaign import document, field, fill, go
from tests.integration.people import add_people
from tests.integration.registry import register, template
from tests.integration.rule_world import happens

Opened = Callable[[str], AppTest]


@pytest.fixture
def world(live: Live) -> Live:
    """Forty people, one of whom bought something long enough ago, and a template."""
    with live.wiring.database.transaction() as session:
        add_people(session, live.clock, range(1, 41), attributes={"first_name": "Ann"})
        register(session, live.clock, template("hello", "en_US", {"type": "BODY", "text": "Hi {{1}}"}))
    long_ago, lately = live.clock.now() - timedelta(days=60), live.clock.now() - timedelta(days=3)
    for user in range(1, 9):
        happens(live.wiring.database, live.clock, f"user-{user}", name="Order Completed", at=long_ago)
        happens(live.wiring.database, live.clock, f"user-{user}", name="Order Completed", at=lately)
    return live


def designed(live: Live, app: AppTest, event: str, **changes: Any) -> AppTest:
    """A draft that lacks nothing, at its metrics. An AppTest cannot type what a list does not offer, so an event stands there already."""
    made = metrics.begun("Spring") | {"key": "spring"} | changes
    made["variants"][1]["message"] = {
        "template": "hello",
        "language": "en_US",
        "parameters": ["{{ user.first_name }}"],
    }
    made["metrics"][0] |= {"key": "bought", "event": event}
    live.call("PUT", "/v1/drafts/spring", json={"document": made})
    return open_page(app, "new_campaign", draft="spring", step="metrics")


def warned(app: AppTest) -> list[str]:
    return [item.value.replace("\\", "") for item in app.warning]


def test_an_event_that_never_happened_is_told_at_its_field_at_the_check_and_at_the_launch(
    world: Live, open_dashboard: Opened
) -> None:
    app = designed(world, open_dashboard("write"), "Order")
    [beneath] = warned(app)
    assert beneath.startswith("**Order** has never happened")
    assert beneath.endswith("Known and alike: **Order Completed**.")
    go(app, "review")
    press(app, "Check it")
    never = "The event **Order** has never happened, and the metric bought rests on it."
    [_hypothesis, small, doubt] = warned(app)
    assert small.startswith("The arms are too small for any decision: with 2 arms the smallest gets about 20")
    assert doubt == f"{never} Known and alike: **Order Completed**."
    assert not app.success
    assert any("what is doubtful stands above" in item.value for item in app.info)
    press(app, "Launch ..")
    assert any(text.startswith(never) for text in warned(app))
    press(app, "Yes, start it")
    assert world.call("GET", "/v1/experiments/spring")["status"] == "running"


def test_too_few_users_are_an_amber_warning(world: Live, open_dashboard: Opened) -> None:
    app = designed(world, open_dashboard("write"), "Order Completed")
    assert warned(app) == []
    go(app, "review")
    press(app, "Check it")
    [few] = [text for text in warned(app) if "Too few users" in text]
    assert "**bought**: the 40 who take part would show an effect of +10%" in few
    assert "where 80% is planned" in few
    assert "never happened" not in seen(app)
    press(app, "Launch ..")
    assert few in warned(app)


def test_a_message_that_can_be_written_to_nobody_has_to_be_agreed_to(
    world: Live, open_dashboard: Opened
) -> None:
    app = designed(world, open_dashboard("write"), "Order Completed")
    go(app, "variants")
    fill(app, "text_input", "variants[1].message.parameters[0]", "{{ user.first_name.short }}")
    go(app, "review")
    press(app, "Check it")
    [nobody] = [item.value.replace("\\", "") for item in app.error]
    assert nobody.startswith("The message of **message-1** can be written to nobody: it failed for all 40")
    assert "has no attribute 'short'" in nobody
    press(app, "Launch ..")
    assert "but **not all of these messages can be written**" in seen(app)
    assert widget(app, "button", "Yes, start it").disabled
    widget(
        app, "checkbox", "Start it all the same, although nobody gets the message of message-1"
    ).check().run()
    press(app, "Yes, start it")
    assert world.call("GET", "/v1/experiments/spring")["status"] == "running"


def test_a_metric_of_the_library_and_the_trigger_are_looked_at_as_well(
    world: Live, open_dashboard: Opened
) -> None:
    world.call("PUT", "/v1/metrics/came", json={"kind": "count", "event": "Came"})
    app = designed(
        world,
        open_dashboard("write"),
        "Order Completed",
        trigger={"type": "event", "event": "Order Complete"},
    )
    press(app, "Add a secondary metric")
    field(app, "selectbox", "metrics[2].~source").set_value("came").run()
    go(app, "audience")
    assert "Known and alike: **Order Completed**." in warned(app)[0]
    go(app, "review")
    press(app, "Check it")
    told = "\n".join(warned(app))
    assert "The event **Came** has never happened, and the metric came rests on it." in told
    assert "The event **Order Complete** has never happened, and the trigger rests on it." in told


def test_a_campaign_is_read_in_words_before_its_yaml(world: Live, open_dashboard: Opened) -> None:
    audience = {"condition": {"country": "NL"}, "coverage": 0.5}
    app = designed(world, open_dashboard("write"), "Order Completed", audience=audience)
    app.session_state["campaign_work"].document["audience"] = {
        "condition": {"country": "NL"},
        "coverage": 0.5,
    }
    page = seen(go(app, "review"))
    assert "**Audience**: country is NL · Coverage (%): 50" in page
    assert "**Trigger**: Once · As soon as it is started" in page
    assert "**What decides**: **bought** (share of users who did it, Order Completed, Window: 7d)" in page
    assert "**opted_out** (opted_out: withdrew consent, tolerates 0.2 points)" in page
    assert "2 arms" in page
    assert list(app.dataframe[0].value["Arm"]) == ["silence", "message-1"]
    assert "bought: too few" not in page
    press(app, "Check it")
    assert "bought: too few" in seen(app)


def test_a_variable_without_braces_is_told_beneath_it(world: Live, open_dashboard: Opened) -> None:
    app = designed(world, open_dashboard("write"), "Order Completed")
    go(app, "variants")
    assert "`{{ user.first_name }}` becomes Ann" in seen(app)
    fill(app, "text_input", "variants[1].message.parameters[0]", "user.first_name")
    [told] = warned(app)
    assert "Write `{{ user.first_name }}` for each user's own" in told
    fill(app, "text_input", "variants[1].message.parameters[0]", "{{ user.first_name }}")
    assert warned(app) == []


def test_harm_is_asked_in_percentage_points_of_shares_and_in_the_unit_of_the_rest(
    world: Live, open_dashboard: Opened
) -> None:
    app = open_page(open_dashboard("write"), "new_campaign", step="metrics")
    points = widget(app, "number_input", "Harm that is tolerated (percentage points)")
    assert points.value == 0.2
    points.set_value(0.3).run()
    assert document(app)["metrics"][1]["margin"] == 0.003
    field(app, "selectbox", "metrics[1].~source").set_value("cost").run()
    assert widget(app, "number_input", "Harm that is tolerated (in the metric's unit)").value == 0.003


def test_doubts_are_told_in_chinese(world: Live, open_dashboard: Opened) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Language").set_value("zh").run()
    designed(world, app, "Order")
    assert "已有的相近名称：**Order Completed**。" in warned(app)[0]
    go(app, "review")
    press(app, "检查")
    assert any("事件 **Order** 从未发生，而它是指标 bought的依据" in text for text in warned(app))
