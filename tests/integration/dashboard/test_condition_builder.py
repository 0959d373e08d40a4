"""A condition is built in rows, in words and as JSON, read aloud and counted, against the API itself."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from targeting.segments import attributes
from tests.integration.crowd import add_crowd
from tests.integration.dashboard.browsing import press, seen, widget
from tests.integration.dashboard.conftest import Live

Builder = Callable[..., AppTest]


def _script(url: str, key: str, start: dict) -> None:  # type: ignore[type-arg]  # run alone, without imports
    import json

    import streamlit

    from dashboard.client import Client
    from dashboard.views import condition_builder

    found = condition_builder.show(Client(url, key), "test", start)
    streamlit.code(json.dumps(found))


@pytest.fixture
def build(live: Live) -> Builder:
    with live.wiring.database.transaction() as session:
        add_crowd(session, live.clock)
    attributes.discover(live.wiring.database, live.clock, rng=np.random.default_rng(1))

    def built(start: dict[str, Any] | None = None) -> AppTest:
        return AppTest.from_function(
            _script, default_timeout=60, args=(live.url, live.keys["read"], start)
        ).run()

    return built


def said(app: AppTest) -> Any:
    """What the builder gave to the page."""
    assert not app.exception, [item.value for item in app.exception]
    return json.loads(app.code[-1].value)


def add(app: AppTest, what: str) -> AppTest:
    return next(button for button in app.button if button.label == what).click().run()


def test_from_nothing_to_a_condition_with_its_count(build: Builder) -> None:
    app = build()
    assert said(app) == {}
    assert "it means everyone" in seen(app)
    assert "60 users" in seen(app)
    add(app, "Attribute")
    assert said(app) is None
    assert "Something is still missing" in seen(app)
    widget(app, "selectbox", "Attribute").set_value("plan").run()
    assert said(app) is None
    widget(app, "selectbox", "Value").set_value("plan-2").run()
    assert said(app) == {"plan": "plan-2"}
    words = seen(app)
    assert "plan is plan-2" in words
    assert "15 users" in words
    assert "100.0% may be messaged" in words
    assert [table.value.shape[0] for table in app.table] == [10]
    add(app, "Behaviour")
    widget(app, "selectbox", "Event").set_value("Viewed").run()
    assert said(app) == {"plan": "plan-2", "$event": {"name": "Viewed", "within": "30d"}}
    widget(app, "number_input", "Times").set_value(2).run()
    app.selectbox(key=next(box.key for box in app.selectbox if box.label == "Users")).set_value("fewer").run()
    assert said(app)["$event"] == {"name": "Viewed", "within": "30d", "count": {"$lt": 2}}
    add(app, "Segment")
    widget(app, "multiselect", "Segments").set_value(["vips"]).run()
    assert said(app)["$inSegment"] == "vips"
    assert "has done Viewed fewer than 2 times in the last 30 days" in seen(app)


def test_types_are_those_of_the_attribute_and_of_the_value(build: Builder) -> None:
    app = build({"age": {"$gte": 18}, "tags": {"$in": ["vip"]}})
    assert said(app) == {"age": {"$gte": 18}, "tags": {"$in": ["vip"]}}
    box = widget(app, "selectbox", "The value is")
    assert (box.value, widget(app, "text_input", "Value").value) == ("number", "18")
    widget(app, "text_input", "Value").set_value("18.5").run()
    assert said(app)["age"] == {"$gte": 18.5}
    widget(app, "text_input", "Value").set_value("many").run()
    assert said(app) is None
    assert "Write a number" in seen(app)
    widget(app, "selectbox", "The value is").set_value("text").run()
    widget(app, "text_input", "Value").set_value("42").run()
    assert said(app)["age"] == {"$gte": "42"}


def test_a_group_is_joined_the_other_way_and_turns_with_the_whole(build: Builder) -> None:
    app = build({"plan": "plan-1", "$or": [{"country": "NL"}, {"country": "BR"}]})
    assert "Any of these" in seen(app)
    widget(app, "radio", "Users have to meet").set_value(True).run()
    assert "All of these" in seen(app)
    both = {"$and": [{"country": "NL"}, {"country": "BR"}]}
    assert said(app) == {"$or": [{"plan": "plan-1"}, both]}
    press(app, "Remove the group")
    assert said(app) == {"plan": "plan-1"}
    press(app, "Group")
    assert said(app) is None
    add(app, "Remove")
    assert "Something is still missing" in seen(app)


def test_what_rows_cannot_say_is_shown_in_words_and_never_lost(build: Builder) -> None:
    deep = {"$not": {"$or": [{"plan": "plan-1"}, {"age": 42, "plan": "plan-2"}]}}
    start = {"$and": [{"country": "NL"}, deep, {"vip": True}]}
    app = build(start)
    assert said(app) == start
    part = widget(app, "text_input", "This part in words")
    assert part.value == 'not (plan = "plan-1" or (age = 42 and plan = "plan-2"))'
    part.set_value('not plan = "plan-1"').run()
    assert said(app) == {"country": "NL", "$not": {"plan": "plan-1"}, "vip": True}
    widget(app, "text_input", "This part in words").set_value("not plan =").run()
    assert said(app) is None
    assert "line 1" in seen(app)


def test_the_three_forms_are_one_condition(build: Builder) -> None:
    app = build({"plan": "plan-1"})
    app.segmented_control[0].set_value("words").run()
    widget(app, "text_area", "The condition in words").set_value('plan = "plan-1" and age >= 18').run()
    assert said(app) == {"plan": "plan-1", "age": {"$gte": 18}}
    widget(app, "text_area", "The condition in words").set_value("plan = = 1").run()
    assert said(app) is None
    app.segmented_control[0].set_value("json").run()
    area = widget(app, "text_area", "The condition as JSON")
    assert json.loads(area.value) == {"plan": "plan-1", "age": {"$gte": 18}}
    area.set_value("{").run()
    assert said(app) is None
    assert "This is not JSON" in seen(app)
    widget(app, "text_area", "The condition as JSON").set_value('{"vip": true}').run()
    assert said(app) == {"vip": True}
    app.segmented_control[0].set_value("rows").run()
    assert [box.value for box in app.selectbox if box.label == "Attribute"] == ["vip"]


def test_what_stands_beneath_the_meaning_can_be_typed(build: Builder) -> None:
    app = build({"plan": {"$in": ["plan-1", "a`b"]}})
    [line] = [item.value for item in app.caption if item.value.startswith("As it is typed under")]
    typed = line.partition("``")[2].rpartition("``")[0].strip()
    app.segmented_control[0].set_value("words").run()
    widget(app, "text_area", "The condition in words").set_value(f" {typed}").run()
    assert said(app) == {"plan": {"$in": ["plan-1", "a`b"]}}


def test_errors_of_the_api_stand_at_the_rows_they_name(build: Builder) -> None:
    app = build({"plan": "plan-1", "tags": {"$regexi": "("}, "$event": {"name": "e" * 201}, "age": 1})
    assert said(app) is None
    told = [
        item.value if item.type == "error" else "row"
        for item in app.main
        if item.type == "error" or (item.type == "selectbox" and item.label in {"Attribute", "Event"})
    ]
    assert [words == "row" for words in told] == [True, True, False, True, False, True]
    assert "regular expression" in told[2]
    assert "200 characters" in told[4]


def test_an_unknown_attribute_is_a_warning_and_a_rare_one_finds_nobody(build: Builder) -> None:
    app = build({"plam": "plan-1"})
    assert said(app) == {"plam": "plan-1"}
    assert "plan" in "".join(item.value for item in app.warning)
    assert "Nobody meets this condition" in seen(app)
