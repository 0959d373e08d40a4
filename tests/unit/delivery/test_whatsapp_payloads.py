"""The body of a template message, as WHATSAPP.md's example writes it."""

import pytest

from delivery.whatsapp.payloads import (
    CopyCode,
    HeaderMedia,
    HeaderText,
    QuickReply,
    TemplateMessage,
    TextMessage,
)
from experiments.errors import Invalid


def _message(**changes) -> TemplateMessage:
    values = {
        "to": "+12025550123",
        "template": "promo_a",
        "language": "en_US",
        "body_parameters": ("Ann",),
        "url_suffix": "tok3n",
        "callback_data": "m-17",
    }
    return TemplateMessage(**(values | changes))


def test_the_payload_has_every_part_in_its_place():
    assert _message().to_payload() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "12025550123",
        "type": "template",
        "biz_opaque_callback_data": "m-17",
        "template": {
            "name": "promo_a",
            "language": {"code": "en_US"},
            "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "Ann"}]},
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "0",
                    "parameters": [{"type": "text", "text": "tok3n"}],
                },
            ],
        },
    }


def test_a_template_without_variables_has_no_components():
    assert _message(body_parameters=(), url_suffix=None).to_payload()["template"] == {
        "name": "promo_a",
        "language": {"code": "en_US"},
    }


def test_named_parameters_header_and_every_button():
    message = _message(
        body_names=("first_name",),
        header=HeaderText("May", "month"),
        buttons=(CopyCode(2, "SAVE20"), QuickReply(0, "stop")),
        url_index=1,
    )
    assert message.to_payload()["template"]["components"] == [
        {"type": "header", "parameters": [{"type": "text", "parameter_name": "month", "text": "May"}]},
        {"type": "body", "parameters": [{"type": "text", "parameter_name": "first_name", "text": "Ann"}]},
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "0",
            "parameters": [{"type": "payload", "payload": "stop"}],
        },
        {
            "type": "button",
            "sub_type": "url",
            "index": "1",
            "parameters": [{"type": "text", "text": "tok3n"}],
        },
        {
            "type": "button",
            "sub_type": "copy_code",
            "index": "2",
            "parameters": [{"type": "coupon_code", "coupon_code": "SAVE20"}],
        },
    ]


@pytest.mark.parametrize("kind", ["image", "video", "document"])
def test_a_header_of_media_is_an_address(kind):
    components = _message(header=HeaderMedia(kind, "https://x.example/a")).to_payload()["template"][
        "components"
    ]
    assert components[0] == {
        "type": "header",
        "parameters": [{"type": kind, kind: {"link": "https://x.example/a"}}],
    }


def test_a_free_text():
    message = TextMessage("+12025550123", "Hi https://x.example", "m-17")
    assert message.to_payload() == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "12025550123",
        "type": "text",
        "biz_opaque_callback_data": "m-17",
        "text": {"preview_url": True, "body": "Hi https://x.example"},
    }
    assert "Hi" not in repr(message)
    with pytest.raises(Invalid, match="text"):
        TextMessage("+12025550123", "", "m-17")


def test_the_person_stays_out_of_the_repr():
    text = repr(_message())
    assert "2025550123" not in text
    assert "Ann" not in text
    assert "m-17" in text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": "not a number"}, "to"),
        ({"to": ""}, "to"),
        ({"template": ""}, "template"),
        ({"callback_data": ""}, "callback_data"),
        ({"callback_data": "x" * 513}, "callback_data"),
        ({"body_names": ("a", "b")}, "body_names"),
    ],
)
def test_what_the_api_would_refuse_is_refused_here(changes, field):
    with pytest.raises(Invalid) as caught:
        _message(**changes)
    assert [problem.field for problem in caught.value.problems] == [field]
