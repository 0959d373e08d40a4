"""Which attributes a campaign's messages cannot do without, and how a missing one is explained."""

from typing import Any

import pytest

from experiments.design import ExperimentDesign
from targeting import campaigns


def design(*parameters: str) -> ExperimentDesign:
    message: dict[str, Any] = {"template": "t", "language": "en", "parameters": list(parameters)}
    return ExperimentDesign.model_validate(
        {
            "key": "spring",
            "name": "spring",
            "variants": [{"key": "a", "control": True}, {"key": "b", "message": message}],
            "metrics": [
                {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
            ],
        }
    )


@pytest.mark.parametrize(
    ("parameter", "needed"),
    [
        ("Hello", []),
        ("{{ user.first_name }}", ["first_name"]),
        ("{{ user['first_name'] }}", ["first_name"]),
        ("{{ user.first_name | default('you') }}", []),
        ("{{ user.user_id }} {{ coupon }} {{ variant }}", []),
        ("{{ user.last }} {{ user.first }} {{ user.last | upper }}", ["first", "last"]),
        ("{{ user.address.city }}", ["address"]),
    ],
)
def test_attributes_needed(parameter: str, needed: list[str]) -> None:
    assert list(campaigns._attributes_needed(design("plain", parameter))) == [
        ("variants[1].message.parameters[1]", name) for name in needed
    ]


def test_advice_names_the_nearest_attribute() -> None:
    assert campaigns._advice("frist_name", ["country", "first_name"]) == "; did you mean 'first_name'?"


def test_advice_lists_what_is_known_when_nothing_is_near() -> None:
    known = [f"attribute_{number:02}" for number in range(12)]
    advice = campaigns._advice("zzz", known)
    assert "attribute_09, .." in advice
    assert "attribute_10" not in advice
    assert "{{ user.zzz | default('..') }}" in advice
