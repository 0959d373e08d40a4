"""What is told of templates, numbers and accounts has Meta's form, and our reader takes every one of them."""

import json

import pytest

from delivery.simulator.behaviour import Treatment
from delivery.simulator.emission import News, Step, webhook
from delivery.simulator.graph import GraphError
from delivery.simulator.notices import account, capability, number_limit, template_quality, template_status
from delivery.simulator.number import Number
from delivery.simulator.profile import Telling
from delivery.simulator.registry_reading import built
from delivery.whatsapp.webhooks import InboundMessage, StatusUpdate, UserPreference, parse

AT = 1_796_119_200
TEMPLATE = built("promo", Treatment(language="en_US"), link="https://example.com", pacing=None)


def _body(*news, **telling) -> dict:
    body = webhook(
        list(news),
        phone_number_id="1",
        display_phone_number="447700900999",
        waba_id="77",
        telling=Telling(**telling),
    )
    return json.loads(body)


def _news(step: Step, **more) -> News:
    return News(step, AT, "12025550123", "wamid.1", "m-17", "marketing", **more)


def test_a_template_is_told_of_as_meta_does(shared):
    sample = json.loads((shared / "conformance/whatsapp-webhooks/template_status_update.json").read_text())
    [entry] = _body(template_status(TEMPLATE, "APPROVED", AT))["entry"]
    [theirs] = sample["approved"]["entry"]
    assert (entry["id"], entry["time"]) == ("77", AT)
    [ours], [change] = entry["changes"], theirs["changes"]
    assert ours["field"] == change["field"]
    assert {key: type(value) for key, value in ours["value"].items()} == {
        key: type(value) for key, value in change["value"].items()
    }


def test_every_notice_is_an_item_of_its_own():
    news = [
        template_quality(TEMPLATE, "GREEN", "RED", AT),
        _news(Step.SENT),
        number_limit("447700900999", "FLAGGED", "TIER_2K", "TIER_2K", AT),
        capability(2000, AT),
        account("447700900999", "DISABLED_UPDATE", AT),
    ]
    document = _body(*news)
    assert [len(entry["changes"]) for entry in document["entry"]] == [1] * 5
    assert [change["field"] for entry in document["entry"] for change in entry["changes"]] == [
        "messages",
        "message_template_quality_update",
        "phone_number_quality_update",
        "business_capability_update",
        "account_update",
    ]
    assert len(parse(json.dumps(document).encode())) == 5
    assert document["entry"][4]["changes"][0]["value"]["ban_info"]["waba_ban_date"] == "December 1, 2026"


def test_a_body_can_be_broken_into_entries_changes_and_statuses():
    news = [_news(Step.SENT)] * 7 + [_news(Step.REPLY, text="Hello")] * 2
    document = _body(*news, statuses_per_change=2, changes_per_entry=3)
    shape = [
        [len(change["value"].get("statuses", "m")) for change in entry["changes"]]
        for entry in document["entry"]
    ]
    assert shape == [[2, 2, 2], [1, 1, 1]]
    assert len(parse(json.dumps(document).encode())) == 9


def test_what_people_say_is_understood():
    said = [
        _news(Step.REPLY, text="Hello"),
        _news(Step.PRESS, text="More", payload="more-1"),
        _news(Step.PRESS, text="More"),
        _news(Step.RESUME_MENU),
        News(Step.REPLY, AT, "12025550123", None, None, "marketing", text="Hi", message_id="wamid.IN1"),
    ]
    items = parse(json.dumps(_body(*said)).encode())
    texts = [(i.kind, i.text, i.button_payload, i.context_id) for i in items if isinstance(i, InboundMessage)]
    assert texts == [
        ("text", "Hello", None, "wamid.1"),
        ("button", "More", "more-1", "wamid.1"),
        ("button", "More", "More", "wamid.1"),
        ("text", "Hi", None, None),
    ]
    assert [item.value for item in items if isinstance(item, UserPreference)] == ["resume"]


def test_free_text_costs_nothing():
    news = News(Step.SENT, AT, "12025550123", "wamid.1", None, "service")
    [item] = parse(json.dumps(_body(news)).encode())
    assert isinstance(item, StatusUpdate)
    assert (item.category, item.billable) == ("service", False)


def test_a_number_shows_and_changes_its_limits():
    number = Number("106", "447700900999", 80.0, 2000)
    assert number.node("quality_rating,messaging_limit_tier,throughput") == {
        "quality_rating": "GREEN",
        "messaging_limit_tier": "TIER_2K",
        "throughput": {"level": "STANDARD"},
        "id": "106",
    }
    assert "verified_name" in number.node(None)
    with pytest.raises(GraphError, match="nonexisting field"):
        number.node("secrets")
    limit, able = number.move(250, AT)
    assert (limit.value["event"], limit.value["old_limit"], limit.value["current_limit"]) == (
        "DOWNGRADE",
        "TIER_2K",
        "TIER_250",
    )
    assert able.value["max_daily_conversations_per_business"] == 250
    assert number.move(None, AT)[0].value["event"] == "UPGRADE"
    assert number.move(None, AT) == []
    assert [notice.value["event"] for notice in number.rate("RED", AT)] == ["FLAGGED"]
    assert [notice.value["event"] for notice in number.rate("GREEN", AT)] == ["UNFLAGGED"]
    assert number.rate("GREEN", AT) == []
    assert Number("106", "4", None, None).node("throughput,messaging_limit_tier") == {
        "throughput": {"level": "HIGH"},
        "messaging_limit_tier": "TIER_UNLIMITED",
        "id": "106",
    }
