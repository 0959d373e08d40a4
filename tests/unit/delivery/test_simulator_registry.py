"""The list of templates: how it is read, built, paged and changed."""

from urllib.parse import parse_qs, urlsplit

import pytest

from delivery.simulator.behaviour import read_behaviours
from delivery.simulator.graph import GraphError
from delivery.simulator.profile import Pacing
from delivery.simulator.registry import FIELDS, Registry
from delivery.simulator.registry_changes import change_template
from delivery.simulator.registry_reading import read_registry
from experiments.errors import Invalid

LINK = "http://127.0.0.1:8000"
BODY = {"type": "BODY", "text": "Hello {{1}}"}
PACING = Pacing(first=3)
NOW = 1_796_119_200_000_000


def _registry(*items: dict, behaviours: dict | None = None, pacing: Pacing | None = None) -> Registry:
    groups = read_behaviours({"templates": behaviours or {}})
    return read_registry(list(items) or None, groups, link=LINK, pacing=pacing)


def _many(count: int) -> Registry:
    return _registry(*({"name": f"t{number:02}", "components": [BODY]} for number in range(count)))


def test_templates_are_built_from_behaviours_when_none_are_given():
    registry = _registry(
        behaviours={
            "spring": {"parameters": 2, "language": "nl", "pressed": 0.1, "button": "More"},
            "quiet": {"clicked": 0, "category": "utility"},
        },
        pacing=PACING,
    )
    spring, quiet = registry
    assert spring.components[0] == {"type": "BODY", "text": "spring {{1}} {{2}}"}
    assert [button["type"] for button in spring.components[1]["buttons"]] == ["URL", "QUICK_REPLY"]
    assert (spring.language, spring.any_language, spring.category, spring.pacing) == (
        "nl",
        False,
        "MARKETING",
        PACING,
    )
    assert spring.shape.quick_replies == ((1, "More"),)
    assert quiet.components == [{"type": "BODY", "text": "quiet"}]
    assert (quiet.language, quiet.any_language, quiet.category, quiet.pacing) == (
        "en_US",
        True,
        "UTILITY",
        None,
    )
    assert spring.shape.body == ("1", "2")
    assert quiet.shape.body is None


def test_given_templates_are_read_as_graph_lists_them_and_the_others_built():
    given = {
        "name": "spring",
        "language": "nl",
        "status": "PAUSED",
        "category": "UTILITY",
        "quality_score": {"score": "YELLOW"},
        "components": [{"type": "BODY", "text": "Hallo {{name}}"}],
        "parameter_format": "NAMED",
    }
    registry = _registry(given, behaviours={"spring": {}, "autumn": {}}, pacing=PACING)
    spring, autumn = registry
    assert spring.node() == given | {
        "id": str(spring.id),
        "rejected_reason": "NONE",
        "previous_category": None,
    }
    assert set(spring.node()) == set(FIELDS)
    assert 10**15 <= spring.id < 2 * 10**15
    assert (spring.pacing, autumn.pacing) == (None, PACING)
    again = _registry(spring.node() | {"pacing": {"first": 5}}, pacing=None)
    assert next(iter(again)).pacing == Pacing(first=5)
    assert (
        next(iter(_registry({"name": "a", "components": [BODY], "pacing": None}, pacing=PACING))).pacing
        is None
    )


def test_a_template_is_known_by_name_and_language():
    registry = _registry(
        {"name": "a", "language": "nl", "components": [BODY]},
        {"name": "a", "language": "en", "components": [BODY]},
    )
    assert registry.find("a", "en").language == "en"
    assert len(registry.named("a")) == 2
    for name, language in (("a", "de"), ("b", "en")):
        with pytest.raises(GraphError) as caught:
            registry.find(name, language)
        assert caught.value.code == 132001
    assert Registry().find("anything", "en") is None


def _walk(registry: Registry, **query: str) -> list[list[str]]:
    pages = []
    while True:
        page = registry.page(query, url="http://127.0.0.1/x", now=NOW)
        pages.append([node["name"] for node in page["data"]])
        following = page.get("paging", {}).get("next")
        if following is None:
            return pages
        query = {name: values[0] for name, values in parse_qs(urlsplit(following).query).items()}


def test_pages_follow_one_another_until_there_is_no_next():
    registry = _many(7)
    assert _walk(registry, limit="3", fields="name") == [
        ["t00", "t01", "t02"],
        ["t03", "t04", "t05"],
        ["t06"],
    ]
    assert _walk(registry, limit="7") == [[f"t{n:02}" for n in range(7)]]
    assert [len(page) for page in _walk(_many(60))] == [25, 25, 10]
    assert Registry().page({}, url="u", now=NOW) == {"data": []}
    last = registry.page({"limit": "7"}, url="u", now=NOW)["paging"]["cursors"]["after"]
    assert registry.page({"after": last}, url="u", now=NOW) == {"data": []}


def test_fields_and_filters():
    registry = _registry(
        {"name": "a", "components": [BODY], "status": "PAUSED"}, {"name": "b", "components": [BODY]}
    )
    page = registry.page({"fields": "name,quality_score", "status": "paused"}, url="u", now=NOW)
    [node] = page["data"]
    assert node == {"id": node["id"], "name": "a", "quality_score": {"score": "UNKNOWN"}}
    default = registry.page({"name": "b"}, url="u", now=NOW)["data"][0]
    assert set(default) == {"name", "parameter_format", "components", "language", "status", "category", "id"}


@pytest.mark.parametrize(
    "query",
    [
        {"fields": "name,secrets"},
        {"limit": "0"},
        {"limit": "many"},
        {"limit": "1001"},
        {"after": "%%"},
        {"after": "QQ"},
    ],
)
def test_what_graph_does_not_take(query):
    with pytest.raises(GraphError) as caught:
        _many(2).page(query, url="u", now=NOW)
    assert caught.value.code == 100


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([3], "templates[0]"),
        ([{"components": [BODY]}], "templates[0].name"),
        ([{"name": "a", "language": 3, "components": [BODY]}], "templates[0].language"),
        ([{"name": "a"}], "templates[0].components"),
        ([{"name": "a", "components": [BODY], "colour": "red"}], "templates[0].colour"),
        ([{"name": "a", "components": [BODY], "status": "TIRED"}], "templates[0].status"),
        ([{"name": "a", "components": [BODY], "quality": "BLUE"}], "templates[0].quality"),
        ([{"name": "a", "components": [BODY], "category": "FUN"}], "templates[0].category"),
        ([{"name": "a", "components": [BODY], "parameter_format": "LOUD"}], "templates[0].parameter_format"),
        ([{"name": "a", "components": [BODY], "pacing": {"speed": 1}}], "templates[0].pacing"),
        ([{"name": "a", "components": [BODY]}] * 2, "templates[1].name"),
    ],
)
def test_wrong_templates_are_named(items, field):
    with pytest.raises(Invalid) as caught:
        _registry(*items)
    assert caught.value.problems[0].field == field


def test_nobody_presses_a_button_that_is_not_there():
    item = {"name": "a", "components": [BODY]}
    with pytest.raises(Invalid) as caught:
        _registry(item, behaviours={"a": {"pressed": 0.1}})
    assert caught.value.problems[0].field == "behaviour.templates.a.pressed"
    buttons = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "More"}]}
    assert len(_registry(item | {"components": [BODY, buttons]}, behaviours={"a": {"pressed": 0.1}})) == 1


def test_a_changed_template_is_told_of():
    [template] = _many(1)
    told = change_template(template, {"status": "paused", "quality": "RED", "category": "UTILITY"}, NOW)
    assert [notice.field for notice in told] == [
        "message_template_quality_update",
        "template_category_update",
        "message_template_status_update",
    ]
    assert told[2].value["event"] == "PAUSED"
    assert told[2].value["other_info"]["title"] == "FIRST_PAUSE"
    assert (template.status, template.quality, template.category) == ("PAUSED", "RED", "UTILITY")
    [freed] = change_template(template, {"status": "APPROVED"}, NOW)
    assert freed.value["event"] == "REINSTATED"
    assert change_template(template, {"status": "APPROVED"}, NOW) == []
    [flagged] = change_template(template, {"event": "FLAGGED"}, NOW)
    assert (flagged.value["event"], template.status) == ("FLAGGED", "APPROVED")
    [rejected] = change_template(template, {"status": "REJECTED", "reason": "SCAM"}, NOW)
    assert (rejected.value["reason"], template.node()["rejected_reason"]) == ("SCAM", "SCAM")
    for document in ({"mood": "good"}, {"status": 3}, {"status": "TIRED"}):
        with pytest.raises(Invalid):
            change_template(template, document, NOW)
