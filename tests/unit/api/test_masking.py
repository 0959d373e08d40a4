"""What a screen shows of a webhook names nobody's number, and steers no terminal."""

import json

import pytest

from api.masking import masked_body

BODY = {
    "entry": [
        {
            "id": "102290129340398",
            "time": 1_796_083_200,
            "changes": [
                {
                    "value": {
                        "metadata": {
                            "phone_number_id": "106540352242922",
                            "display_phone_number": "12025550100",
                        },
                        "contacts": [{"wa_id": "12025550111", "profile": {"name": "Ann"}}],
                        "messages": [
                            {
                                "from": "12025550111",
                                "id": "wamid.HBgLMTIwMjU1NTAxMTE=",
                                "timestamp": "1796083200",
                                "text": {"body": "call +1 (202) 555-0122 or 2025550133, 3 pm"},
                            }
                        ],
                        "12025550144": [12025550155],
                    }
                }
            ],
        }
    ]
}


def test_of_a_persons_number_two_digits_are_left_and_what_is_ours_stays() -> None:
    shown = masked_body(json.dumps(BODY).encode())
    for digits in ("555011", "555-0122", "555013", "555014", "555015", "HBgL"):
        assert digits not in shown
    (entry,) = json.loads(shown)["entry"]
    assert (entry["id"], entry["time"]) == ("102290129340398", 1_796_083_200)
    value = entry["changes"][0]["value"]
    assert value["metadata"] == BODY["entry"][0]["changes"][0]["value"]["metadata"]  # type: ignore[index]
    assert value["contacts"] == [{"wa_id": "…11", "profile": {"name": "Ann"}}]
    assert value["messages"][0] == {
        "from": "…11",
        "id": "wamid.…",
        "timestamp": "1796083200",
        "text": {"body": "call …22 or …33, 3 pm"},
    }


@pytest.mark.parametrize(
    "body", [b"{12025550111 \x1b[31m", b"\xff12025550111", b'["\\ud800", "12025550111"]']
)
def test_what_is_no_json_is_shown_too(body: bytes) -> None:
    shown = masked_body(body)
    assert "…11" in shown
    assert "\x1b" not in shown
    assert shown.encode()
