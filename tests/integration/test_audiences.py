"""Whom a condition means: the database, the closures and both together say the same."""

from datetime import timedelta

import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from targeting.conditions.needs import needs_of
from targeting.models import Segment
from targeting.segments.audience_repository import (
    attributes_in,
    audience_of,
    audience_with,
    pages,
    scopes_of,
    somebody_in,
)
from tests.integration.crowd import add_crowd, meant

BOUGHT = {"$event": {"name": "Order Completed", "within": "30d"}}
BIG = {"$event": {"name": "Order Completed", "count": {"$gte": 2}, "properties": {"revenue": {"$gt": 100}}}}
ODD_SKU = {"$event": {"name": "Viewed", "properties": {"sku": {"$regex": "-[13]$"}}}}

CONDITIONS = [
    {},
    {"country": {"$in": ["NL", "BR"]}},
    {"plan": {"$regex": "-[12]$"}},
    BOUGHT,
    {"$not": BOUGHT},
    BIG,
    ODD_SKU,
    {"$inSegment": "vips"},
    {"$not": {"$inSegment": ["vips", "adults"]}},
    {"$inSegment": "adults"},
    {"$or": [{"plan": {"$regex": "-3$"}}, BOUGHT]},
    {"$or": [{"plan": {"$regex": "-3$"}}, {"$inSegment": ["vips"]}, BIG]},
    {"$nor": [{"plan": {"$regex": "-3$"}}, {"$inSegment": ["vips"]}, ODD_SKU]},
    {"country": "NL", "$or": [{"plan": {"$regexi": "PLAN-1"}}, {"$not": BIG}], "age": {"$gte": 18}},
]


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
        adults = {"age": {"$gte": 18}, "$not": {"$inSegment": "vips"}}
        now = clock.now()
        session.add(Segment(key="adults", name="Adults", condition=adults, created_at=now, updated_at=now))
    return database


@pytest.mark.parametrize("condition", CONDITIONS, ids=range(len(CONDITIONS)))
@pytest.mark.parametrize("page", [7, 1000])
def test_the_audience_is_whom_the_closure_means(
    crowd: Database, clock: SteppedClock, condition: dict, page: int
) -> None:
    with crowd.snapshot() as session:
        audience = audience_of(session, condition, now=clock.now())
        found = [row.id for rows in pages(session, audience, page=page) for row in rows]
        expected = meant(session, clock, condition)
        assert found == sorted(expected)
        assert somebody_in(session, audience) is bool(expected)
    assert 0 < len(expected) <= 60


def test_a_range_of_ids_is_walked_through_and_no_more(crowd: Database, clock: SteppedClock) -> None:
    with crowd.snapshot() as session:
        audience = audience_of(session, {"plan": {"$regex": "plan"}}, now=clock.now())
        found = [row.id for rows in pages(session, audience, page=3, after_pk=5, up_to_pk=13) for row in rows]
    assert found == list(range(6, 14))


def test_somebody_with_an_attribute(crowd: Database, clock: SteppedClock) -> None:
    with crowd.snapshot() as session:
        for condition in ({"plan": {"$regex": "-1$"}}, {"plan": "plan-1"}, {"$or": [ODD_SKU]}):
            with_age = audience_with(session, condition, attribute="age", now=clock.now())
            found = {str(one) for one in attributes_in(session, with_age)}
            everyone = audience_of(session, condition, now=clock.now())
            assert found == {
                str(one) for one in attributes_in(session, everyone) if one.get("age") is not None
            }
            for odd in ("$not", "a.b", 'a"b'):
                nobody = audience_with(session, condition, attribute=odd, now=clock.now())
                assert not somebody_in(session, nobody)


def test_only_what_is_asked_for_is_read(crowd: Database, clock: SteppedClock) -> None:
    needs = needs_of({"$or": [BOUGHT, {"$inSegment": "vips"}]})
    with crowd.snapshot() as session:
        scopes = scopes_of(session, user_pks=[3, 8, 14], needs=needs, now=clock.now())
        bare = scopes_of(session, user_pks=[3, 8], needs=needs_of({"plan": "x"}), now=clock.now())
    assert set(scopes) == {3, 8, 14}
    assert set(scopes[3].segments) == {"vips"}
    assert not scopes[8].segments
    assert set(scopes[14].events) == {"Order Completed"}
    oldest = clock.now() - timedelta(days=30)
    assert all(oldest <= one.at <= clock.now() for one in scopes[14].events["Order Completed"])
    assert "Viewed" not in scopes[3].events
    assert not bare[3].events
    assert not bare[3].segments


def test_a_segment_that_does_not_exist_is_named(crowd: Database, clock: SteppedClock) -> None:
    with crowd.snapshot() as session, pytest.raises(Invalid) as refused:
        audience_of(session, {"$or": [{"$inSegment": ["vips", "nope"]}]}, now=clock.now())
    assert "audience.condition.$or[0].$inSegment[1]" in str(refused.value)
    assert "nope" in str(refused.value)
