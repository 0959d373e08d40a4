"""Counting, refreshing, walking and enrolling reach exactly the users for whom the closure holds, whatever the condition.

Conditions here mix what SQL can say with what it cannot, under `$or`, `$nor` and `$not`: attributes, events, lists, segments.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.models import Experiment
from targeting.models import Assignment, SegmentMember
from targeting.segments import attributes, membership
from targeting.segments import service as segments
from targeting.segments.audience_repository import audience_of, pages
from targeting.segments.preview import preview
from targeting.segments.preview_repository import count_of
from tests.integration.crowd import COUNTRIES, SEEN, add_crowd, meant
from tests.integration.enrolling import enrol
from tests.integration.people import campaign, start_campaign

clauses = st.one_of(
    st.sampled_from(COUNTRIES[:4]).map(lambda one: {"country": one}),
    st.lists(st.sampled_from([*COUNTRIES[:7], 31]), max_size=3).map(lambda many: {"country": {"$in": many}}),
    st.tuples(st.sampled_from(["$lt", "$lte", "$gt", "$gte"]), st.sampled_from([0, 1, 18, 41.5, "42"])).map(
        lambda test: {"age": dict([test])}
    ),
    st.sampled_from([18, 42, "42", True]).map(lambda one: {"age": {"$eq": one}}),
    st.tuples(st.sampled_from(["$olderThan", "$newerThan"]), st.sampled_from(["1d", "30d", "61d"])).map(
        lambda test: {"seen_at": dict([test])}
    ),
    st.sampled_from(SEEN[:4]).map(lambda one: {"seen_at": {"$gte": one}}),
    st.sampled_from([r"-[12]$", r"^plan", r"3"]).map(lambda one: {"plan": {"$regex": one}}),
    st.sampled_from(["new", "vip"]).map(lambda one: {"tags": {"$in": [one]}}),
    st.just({"tags": {"$elemMatch": {"$regex": "^v"}}}),
    st.sampled_from([["vips"], ["odd"], ["odd", "vips"]]).map(lambda keys: {"$inSegment": keys}),
    st.builds(
        lambda name, within, count, properties: {
            "$event": {"name": name}
            | ({"within": within} if within else {})
            | ({"count": count} if count is not None else {})
            | ({"properties": properties} if properties else {})
        },
        st.sampled_from(["Order Completed", "Viewed", "Never"]),
        st.sampled_from([None, "5d", "21d"]),
        st.sampled_from([None, 0, 1, {"$gte": 2}, {"$lt": 2}]),
        st.sampled_from([None, {"revenue": {"$gt": 200}}, {"sku": {"$regex": "[02]$"}}]),
    ),
)
conditions = st.recursive(
    clauses,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: dict([pair])
        ),
        inner.map(lambda one: {"$not": one}),
    ),
    max_leaves=4,
)
bounded = settings(
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
        odd = {"$or": [{"plan": {"$regex": "-2$"}}, {"$event": {"name": "Viewed", "within": "9d"}}]}
        segments.put(session, clock, actor="test", key="odd", name="Odd", condition=odd)
    for name in ("country", "age", "seen_at"):
        attributes.set_indexed(
            database, clock, actor="test", name=name, indexed=True, rng=np.random.default_rng(1)
        )
    return database


@bounded
@given(condition=conditions)
def test_walking_and_counting(crowd: Database, clock: SteppedClock, condition: dict) -> None:
    with crowd.snapshot() as session:
        expected = meant(session, clock, condition)
        audience = audience_of(session, condition, now=clock.now())
        assert {row.id for rows in pages(session, audience, page=13) for row in rows} == expected
        assert count_of(session, audience, seconds=60, monotonic=lambda: 0.0) == len(expected)
        found = preview(session, clock, condition=condition, rng=np.random.default_rng(1), sample=60)
        assert (found.count.exact, found.count.value) == (True, len(expected))
        assert {user.id for user in found.sample} == expected


@settings(parent=bounded, max_examples=20)
@given(wanted=st.lists(conditions, min_size=2, max_size=3))
def test_refreshing_one_condition_after_another(
    crowd: Database, clock: SteppedClock, wanted: list[dict]
) -> None:
    members: set[int] = set()
    with crowd.transaction() as session:
        segment = segments.put(session, clock, actor="test", key="s", name="s", condition={"plan": "none"})
    membership.refresh(crowd, clock, key="s")
    for condition in wanted:
        with crowd.transaction() as session:
            expected = meant(session, clock, condition)
            segments.put(session, clock, actor="test", key="s", name="s", condition=condition)
        done = membership.refresh(crowd, clock, key="s", step=17)
        with crowd.snapshot() as session:
            of_segment = SegmentMember.segment_id == segment.id
            found = set(session.exec(select(SegmentMember.user_pk).where(of_segment)))
        assert found == expected
        assert (done.size, done.joined, done.left) == (
            len(expected),
            len(expected - members),
            len(members - expected),
        )
        members = expected


@settings(parent=bounded, max_examples=15)
@given(condition=conditions)
def test_enrolling(crowd: Database, clock: SteppedClock, condition: dict) -> None:
    with crowd.transaction() as session:
        expected = meant(session, clock, condition)
        number = len(session.exec(select(Experiment.id)).all())
        design = campaign(f"e{number}", audience={"condition": condition})
        if not expected:
            with pytest.raises(Invalid, match="matches no user"):
                start_campaign(session, clock, design)
            return
        experiment = start_campaign(session, clock, design)
    enrol(crowd, clock, experiment, limit=11)
    with crowd.snapshot() as session:
        of_experiment = Assignment.experiment_id == experiment.id
        assert set(session.exec(select(Assignment.user_pk).where(of_experiment))) == expected
