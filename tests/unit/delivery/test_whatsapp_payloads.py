"""The body of a template message, as WHATSAPP.md's example writes it."""

import pytest

from delivery.whatsapp.payloads import TemplateMessage
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
    ],
)
def test_what_the_api_would_refuse_is_refused_here(changes, field):
    with pytest.raises(Invalid) as caught:
        _message(**changes)
    assert [problem.field for problem in caught.value.problems] == [field]
