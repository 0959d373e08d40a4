"""What a screen shows of a webhook names nobody's number, and steers no terminal."""

import json

import pytest

from api.masking import masked_attributes, masked_body, masked_quality, names_a_phone

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


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("note", "call +1 (202) 555-0101 or me", "call …01 or me"),
        ("order", "12025550101", "12025550101"),
        ("order", 12025550101, 12025550101),
        ("mobile", "12025550101", "…01"),
        ("mobile", 12025550101, "…01"),
        ("mobile", 12025550101.0, "…01"),
        ("phone2", "(020) 555 0101", "…01"),
        ("phones", [{"home": "0205550101"}, 205550102], [{"home": "…01"}, "…02"]),
        ("phone_verified", True, True),
        ("phone_calls", 12, 12),
        ("mobile_seen_on", "2026-11-30", "2026-11-30"),
        ("mobile_app", "v10.2", "v10.2"),
    ],
)
def test_a_number_in_an_attribute_is_one_by_its_plus_or_by_the_name(
    name: str, value: object, seen: object
) -> None:
    assert masked_attributes({name: value}) == {name: seen}


def test_a_number_that_is_a_name_is_one_too() -> None:
    assert masked_attributes({"+12025550101": {"of +12025550102": 1}}) == {"…01": {"of …02": 1}}


@pytest.mark.parametrize(
    "name", ["Phone", "telefoon", "TelNumber", "waId", "移动电话", "customer-gsm", "E.164"]
)
def test_what_is_called_like_a_phone(name: str) -> None:
    assert names_a_phone(name)


@pytest.mark.parametrize("name", ["hotel", "total", "wave", "scale", "first_name", "", "excellent"])
def test_what_is_not_called_like_a_phone(name: str) -> None:
    assert not names_a_phone(name)


def test_of_a_column_of_numbers_not_even_the_smallest_is_told() -> None:
    told = {"numbers": {"min": 12025550101}, "categories": {"rows": {"+12025550102": 9}, "rare": 1}}
    columns = [
        {"name": "cell", "meaning": "attributes.cell", **told},
        {"name": "c1", "meaning": "attributes.phone2", **told},
        {"name": "orders", "meaning": "attributes.orders", **told},
    ]
    masked = masked_quality({"light": "ok", "columns": columns})
    assert [column["numbers"] for column in masked["columns"]] == [None, None, {"min": 12025550101}]
    assert masked["columns"][2]["categories"] == {"rows": {"…02": 9}, "rare": 1}
    assert masked["columns"][0]["categories"] is None
