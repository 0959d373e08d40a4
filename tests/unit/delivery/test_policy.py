"""The delivery policy as a document: what it takes, what it says is wrong, what the settings make of it."""

from datetime import time, timedelta

import pytest
from pydantic import ValidationError

from delivery.limits.policy import CategoryCaps, DeliveryPolicy, QuietHours, from_settings
from experiments.mistakes import problems_of
from experiments.send_times import Weekday
from experiments.settings import Settings
from experiments.vocabulary import Category


def wrong(document: dict) -> list[str | None]:
    with pytest.raises(ValidationError) as caught:
        DeliveryPolicy.model_validate(document)
    return [problem.field for problem in problems_of(caught.value.errors())]


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({"marketing": {"week": -1}}, ["marketing.week"]),
        ({"marketing": {"week": "3"}}, ["marketing.week"]),
        ({"marketing": {"year": 3}}, ["marketing.year"]),
        ({"utility": {"min_interval": "soon"}}, ["utility.min_interval"]),
        ({"adaptive": {"lowest": 1.1}}, ["adaptive.lowest"]),
        ({"adaptive": {"lowest": True}}, ["adaptive.lowest"]),
        ({"quiet_hours": {"start": "21:00"}}, ["quiet_hours.end"]),
        ({"quiet_hours": {"start": "21:00", "end": "21:00"}}, ["quiet_hours"]),
        ({"quiet_hours": {"start": 21, "end": "08:00"}}, ["quiet_hours.start"]),
        ({"quiet_categories": ["promotions"]}, ["quiet_categories[0]"]),
        ({"countries": {"NL": {"days": []}}}, ["countries.NL.days"]),
        ({"countries": {"NL": {"days": ["mon", "mon"]}}}, ["countries.NL"]),
        ({"unique_users": 0}, ["unique_users"]),
        ({"caps": {}}, ["caps"]),
    ],
)
def test_what_is_wrong_is_named_by_its_field(document: dict, fields: list[str]) -> None:
    assert wrong(document) == fields


def test_a_country_that_there_is_not() -> None:
    (field,) = wrong({"countries": {"XX": {}}})
    assert field is not None
    assert field.startswith("countries.XX")


def test_what_a_document_leaves_out_has_its_default() -> None:
    policy = DeliveryPolicy.model_validate({"countries": {"NO": {"start": "08:00", "end": "20:00"}}})
    assert policy.caps("marketing") == CategoryCaps(week=3)
    assert policy.caps(Category.UTILITY) == CategoryCaps()
    assert policy.countries["NO"].days == tuple(Weekday)
    assert DeliveryPolicy.model_validate_json(policy.model_dump_json()) == policy


def test_the_settings_are_the_policy_until_one_is_put() -> None:
    assert from_settings(Settings()) == DeliveryPolicy()
    policy = from_settings(
        Settings(
            cap_day=1,
            cap_week=None,
            cap_month=9,
            cap_interval=timedelta(hours=12),
            quiet_hours="21:00-08:00",
        )
    )
    assert policy == DeliveryPolicy(
        marketing=CategoryCaps(day=1, month=9, min_interval=timedelta(hours=12)),
        quiet_hours=QuietHours(start=time(21), end=time(8)),
    )
