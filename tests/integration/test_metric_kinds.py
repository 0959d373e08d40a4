"""Every kind of metric against the same rows counted by hand and summed up by numpy, on both databases."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, text

from analysis.facts import facts
from analysis.facts.engines import SessionFacts
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.quantiles import Quantile
from delivery.models import Message
from experiments.database import Database
from experiments.metrics import BUILT_IN, MetricDefinition
from tests.integration.analysis_rows import DAY, HOUR, START, VARIANTS, Assigned, Happened, store
from tests.integration.metric_oracle import World, columns

AS_OF = START + 17 * DAY
WEEK = timedelta(days=7)
ORDER = {"event": "Order", "window": WEEK}
DUTCH = {"country": "NL"}
REVENUE = {"event": "Order", "value": "revenue"}


def metric(**fields: Any) -> MetricDefinition:
    return MetricDefinition.model_validate(fields)


METRICS: dict[str, MetricDefinition] = {
    "sum": metric(kind="sum", value="revenue", covariate="28d", **ORDER),
    "mean": metric(kind="mean", value="revenue", covariate="28d", **ORDER),
    "dutch": metric(kind="proportion", where=DUTCH, covariate="28d", **ORDER),
    "large": metric(kind="sum", value="revenue", where={"revenue": {"$gte": 20, "$lt": 60}}, **ORDER),
    "not german": metric(kind="count", where={"country": {"$nin": ["DE", "BR"]}}, **ORDER),
    "unknown": metric(kind="count", where={"country": None}, event="Order", window="3d"),
    "without": metric(kind="count", where={"coupon": {"$exists": False}}, event="Visit", window="3d"),
    "per order": metric(
        kind="ratio", numerator=REVENUE, denominator={"event": "Order"}, covariate="28d", window=WEEK
    ),
    "per visit": metric(
        kind="ratio",
        numerator={**REVENUE, "where": DUTCH},
        denominator={"event": "Visit"},
        covariate="21d",
        window=WEEK,
    ),
    "median": metric(kind="quantile", level=0.5, event="Order", value="revenue", window=WEEK),
    "p90": metric(kind="quantile", level=0.9, event="Order", window="5d"),
    "came back": metric(kind="retention", event="Visit", after="2d", window="6d", covariate="7d"),
    "capped": metric(kind="sum", value="revenue", cap={"value": 55.5}, covariate="28d", **ORDER),
    "cut": metric(kind="sum", value="revenue", cap={"quantile": 0.9}, covariate="28d", **ORDER),
    "both": metric(kind="count", cap={"quantile": 0.95, "value": 2}, covariate="28d", **ORDER),
    "cut per order": metric(
        kind="ratio",
        numerator={**REVENUE, "cap": {"quantile": 0.9}},
        denominator={"event": "Order", "cap": {"value": 3}},
        covariate="28d",
        window=WEEK,
    ),
    "orders per delivered": metric(
        kind="ratio", numerator={"event": "Order"}, denominator={"message": "delivered"}, window="6d"
    ),
    "cost per order": metric(
        kind="ratio",
        numerator={"message": "delivered", "price": 0.07},
        denominator={"event": "Order"},
        window="6d",
    ),
    "reads": metric(kind="count", message="read", window="4d"),
    **BUILT_IN,
}


def random_world(seed: int, *, users: int = 180, odd: float = 0.1) -> World:
    """Everything happens on the full hour, so that window edges are hit often."""
    rng = np.random.default_rng(seed)
    assigned = [
        Assigned(user, VARIANTS[rng.integers(3)], START + int(rng.integers(0, 240)) * HOUR)
        for user in range(1, users + 1)
    ]
    happened = []
    for _ in range(7 * users):
        properties: dict[str, Any] = {"revenue": round(float(rng.lognormal(3, 1)), 2)}
        if rng.random() < odd:
            properties["revenue"] = (None, "12.5", True, [3], -7.25, 10**101)[rng.integers(6)]
        country = ("NL", "DE", "BR", None, 5, True)[rng.integers(6)]
        if country is not None:
            properties["country"] = country
        if rng.random() < 0.3:
            properties["coupon"] = "x"
        happened.append(
            Happened(
                int(rng.integers(1, users + 1)),
                ("Order", "Visit", "Message Received", "Opted Out")[
                    rng.choice(4, p=[0.45, 0.45, 0.08, 0.02])
                ],
                START + int(rng.integers(-700, 420)) * HOUR,
                properties,
            )
        )
    return World(
        assigned,
        happened,
        [row for one in assigned if one.variant != "silence" for row in _messages(rng, one)],
    )


def _messages(rng: np.random.Generator, one: Assigned) -> list[dict[str, Any]]:
    rows = []
    for step in range(int(rng.integers(1, 4))):
        at = one.at + int(rng.integers(0, 200)) * HOUR
        row: dict[str, Any] = dict.fromkeys(
            (
                "reason",
                "accepted_at",
                "sent_at",
                "delivered_at",
                "read_at",
                "clicked_at",
                "failed_at",
                "first_failed_at",
            )
        )
        row |= {
            "user_pk": one.user,
            "variant": one.variant,
            "step": step,
            "state": "read",
            "first_due_at": at,
            "due_at": at,
        }
        got = int(rng.integers(0, 7))
        if got == 0:
            reason = ("opted_out", "undeliverable", "consent", "cap")[rng.integers(4)]
            row |= {"state": "suppressed", "reason": reason, "failed_at": at if "e" in reason else None}
        if got == 1:
            state, reason = (("planned", "undeliverable"), ("failed", "131000"), ("planned", "meta_cap"))[
                step
            ]
            row |= {"state": state, "reason": reason, "failed_at": at}
        for i, name in enumerate(("accepted_at", "delivered_at", "read_at", "clicked_at"), start=2):
            if got > i or (got == 6 and rng.random() < 0.8):
                row[name] = at + i * HOUR
        if rng.random() < 0.15:
            # An earlier try failed at the person, whatever has become of it since.
            row["first_failed_at"] = at - int(rng.integers(0, 100)) * HOUR
        rows.append(row)
    return rows


def store_world(database: Database, world: World) -> None:
    store(database, assigned=world.assigned, happened=world.happened)
    plain = {"experiment_id": 1, "category": "marketing", "priority": 0, "tries": 0}
    with database.transaction() as session:
        session.connection().execute(insert(Message), [{**plain, **row} for row in world.messages])
        # As a database in use has it; without statistics PostgreSQL expects one user and plans accordingly.
        session.connection().exec_driver_sql("ANALYZE")


def gather(
    database: Database, definitions: Mapping[str, MetricDefinition], *, as_of: datetime
) -> facts.ExperimentFacts:
    with database.snapshot() as session:
        return facts.gather(SessionFacts(session), experiment_id=1, definitions=definitions, as_of=as_of)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


def agrees(found: Aggregate | Quantile, definition: MetricDefinition, y: dict[str, np.ndarray]) -> None:
    if definition.level is not None:
        assert isinstance(found, Quantile)
        expected = Quantile.from_values(y["y"], definition.level)
        assert (found.n, found.z) == (y["y"].size, expected.z)
        assert found.value == close(float(np.quantile(y["y"], definition.level)))
        assert (found.lower, found.upper) == (close(expected.lower), close(expected.upper))  # type: ignore[arg-type]
        return
    assert isinstance(found, Aggregate)
    assert (found.n, found.maximum) == (y["y"].size, close(y["y"].max()))
    moments = {"y": ("mean", "variance"), "d": ("mean_d", "variance_d"), "x": ("mean_x", "variance_x")}
    for letter, (mean, variance) in moments.items():
        if letter not in y:
            assert getattr(found, mean) is None
            continue
        assert getattr(found, mean) == close(y[letter].mean())
        assert getattr(found, variance) == close(y[letter].var(ddof=1))
    for name, one, other in (
        ("covariance_yd", "y", "d"),
        ("covariance_xy", "x", "y"),
        ("covariance_dx", "d", "x"),
    ):
        if one in y and other in y:
            assert getattr(found, name) == close(np.cov(y[one], y[other])[0, 1])


@pytest.mark.parametrize("seed", [1, 2])
def test_every_kind_agrees_with_numpy(database: Database, seed: int) -> None:
    world = random_world(seed)
    store_world(database, world)
    found = gather(database, METRICS, as_of=AS_OF)
    busy = set()
    for key, definition in METRICS.items():
        variants, expected = columns(definition, world, as_of=AS_OF)
        for variant in VARIANTS:
            mine = {letter: values[variants == variant] for letter, values in expected.items()}
            assert mine["y"].size > 30
            agrees(found.metrics[key][variant], definition, mine)
        if np.ptp(expected["y"]) > 0:
            busy.add(key)
    assert busy == METRICS.keys()
    assert found.metrics["sum"] == found.metrics["mean"]


def test_the_quick_query_is_enough_where_every_value_can_be_used(database: Database) -> None:
    store_world(database, random_world(6, odd=0))
    for group in facts.group_metrics(METRICS):
        with database.snapshot() as session:
            engine = SessionFacts(session)
            sizes = dict.fromkeys(VARIANTS, 50)
            quick, exact = (
                engine.fetch(facts.metric_query(1, group, as_of=AS_OF, sizes=sizes, exact=way))
                for way in (False, True)
            )
        for fast, slow in zip(quick, exact, strict=True):
            names = slow.keys() - {"variant"}
            assert fast["variant"] == slow["variant"]
            assert [fast[name] for name in names] == pytest.approx(
                [slow[name] for name in names], rel=1e-12, abs=1e-9
            )


@pytest.mark.parametrize("where", ["numerator", "denominator", "before"])
def test_one_odd_value_anywhere_leaves_the_others_as_they_are(database: Database, where: str) -> None:
    at = START - DAY if where == "before" else START
    odd = {"revenue": "x"} if where != "denominator" else {"items": [1], "revenue": 2}
    happened = [Happened(user, "Order", START, {"revenue": user, "items": 1}) for user in range(1, 9)]
    happened += [Happened(user, "Order", START - DAY, {"revenue": user, "items": 2}) for user in range(1, 9)]
    store(
        database,
        assigned=[Assigned(user, VARIANTS[user % 2], START) for user in range(1, 9)],
        happened=[*happened, Happened(3, "Order", at, odd)],
    )
    each = {"numerator": REVENUE, "denominator": {"event": "Order", "value": "items"}}
    found = gather(database, {"each": metric(kind="ratio", covariate="7d", **each)}, as_of=AS_OF)
    assert found.warnings == (
        "each: 1 value of `revenue` and `items` could not be used (no number, or an absurd one) and counted as 0",
    )
    reminder = found.metrics["each"]["reminder"]
    assert isinstance(reminder, Aggregate)
    assert reminder.mean == pytest.approx((1 + 3 + 5 + 7 + (2 if where == "denominator" else 0)) / 4)
    assert reminder.mean_d == pytest.approx(1)


def test_caps_bite_in_the_outcome_and_in_the_covariate(database: Database) -> None:
    world = random_world(3)
    store_world(database, world)
    found = gather(database, {key: METRICS[key] for key in ("sum", "capped", "cut")}, as_of=AS_OF).metrics
    for key in ("capped", "cut"):
        for variant in VARIANTS:
            free, cut = found["sum"][variant], found[key][variant]
            assert isinstance(free, Aggregate)
            assert isinstance(cut, Aggregate)
            assert cut.mean < free.mean
            assert (cut.mean_x or 0) < (free.mean_x or 0)


def test_the_covariate_of_a_ratio_removes_variance() -> None:
    # Users have a price level of their own, before and after: what an order of theirs brings.
    rng = np.random.default_rng(4)
    level = rng.gamma(4, 5, 4000)
    orders, before = rng.poisson(3, 4000) + 1.0, rng.poisson(6, 4000) + 1.0
    y, p = level * orders + rng.normal(0, 1, 4000), level * before + rng.normal(0, 1, 4000)
    x = p - p.sum() / before.sum() * before
    linear = (y - y.mean() / orders.mean() * orders) / orders.mean()
    assert np.corrcoef(linear, x)[0, 1] ** 2 > 0.4
    assert np.corrcoef(linear, p)[0, 1] ** 2 < np.corrcoef(linear, x)[0, 1] ** 2


@pytest.mark.parametrize(("hours", "counted"), [(-1, 0), (47, 0), (48, 1), (143, 1), (144, 0)], ids=str)
def test_edges_of_the_second_window(database: Database, hours: int, counted: int) -> None:
    happened = [Happened(1, "Visit", START + hours * HOUR)]
    store(database, assigned=[Assigned(1, "coupon", START)], happened=happened)
    found = gather(database, {"back": METRICS["came back"]}, as_of=START + 6 * DAY).metrics["back"]["coupon"]
    assert isinstance(found, Aggregate)
    assert (found.n, found.mean) == (1, counted)


def test_a_filter_never_counts_an_event_that_is_not_there(database: Database) -> None:
    store(database, assigned=[Assigned(user, "coupon", START) for user in (1, 2)])
    wheres = (
        {"a": None},
        {"a": {"$exists": False}},
        {"a": {"$ne": 1}},
        {"a": {"$lt": 5}},
        {"a": {"$nin": ["x"]}},
    )
    definitions = {
        f"{i}": metric(kind="count", event="Order", where=where, window="1d")
        for i, where in enumerate(wheres)
    }
    for found in gather(database, definitions, as_of=AS_OF).metrics.values():
        assert isinstance(found["coupon"], Aggregate)
        assert (found["coupon"].n, found["coupon"].mean) == (2, 0)


def test_a_ratio_of_two_events_shares_a_query_with_both() -> None:
    groups = facts.group_metrics(METRICS)
    assert [len(group.metrics) for group in groups] == [12, 1, 1, 1, 1, 2, 1, 6, 1, 1]
    assert groups[0].events == ("Order", "Visit")
    one_event = facts.group_metrics(
        {key: METRICS[key] for key in ("sum", "dutch", "per order", "median", "cut")}
    )
    assert [group.events for group in one_event] == [("Order",)]


def test_a_ratio_is_total_over_total(database: Database) -> None:
    happened = [Happened(1, "Order", START, {"revenue": 10}), Happened(1, "Order", START, {"revenue": 20})]
    happened.append(Happened(2, "Order", START, {"revenue": 90}))
    store(database, assigned=[Assigned(user, "coupon", START) for user in (1, 2, 3)], happened=happened)
    found = gather(database, {"r": METRICS["per order"]}, as_of=AS_OF).metrics["r"]["coupon"]
    assert isinstance(found, Aggregate)
    assert linearise_ratio(found).mean == pytest.approx(40)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e101", "9" * 400, '"NaN"', '"12"', "[1]", "true"])
def test_values_that_cannot_be_used_are_counted_and_told(database: Database, number: str) -> None:
    happened = [
        Happened(1, "Order", START),
        Happened(2, "Order", START, {"revenue": 4}),
        Happened(1, "Order", START),
    ]
    store(database, assigned=[Assigned(user, "coupon", START) for user in (1, 2)], happened=happened)
    with database.transaction() as session:
        session.connection().execute(
            text(f"UPDATE events SET properties = '{{\"revenue\": {number}}}' WHERE message_id = 'm0'")
        )
    definitions = {key: METRICS[key] for key in ("sum", "per order")}
    found = gather(database, definitions, as_of=AS_OF)
    assert found.metrics["sum"]["coupon"].mean == pytest.approx(2)  # type: ignore[union-attr]
    assert [line for line in found.warnings if "could not be used" in line] == [
        "sum: 1 value of `revenue` could not be used (no number, or an absurd one) and counted as 0",
        "per order: 1 value of `revenue` could not be used (no number, or an absurd one) and counted as 0",
    ]


def test_only_values_that_would_have_counted_are_told(database: Database) -> None:
    odd = [
        (START + 8 * DAY, {}),
        (START - 29 * DAY, {}),
        (START, {"country": "DE"}),
        (START - DAY, {"country": "NL"}),
    ]
    happened = [Happened(1, "Order", at, {"revenue": "x", **more}) for at, more in odd]
    store(database, assigned=[Assigned(1, "coupon", START)], happened=happened)
    definitions = {"dutch": metric(kind="sum", value="revenue", where=DUTCH, covariate="28d", **ORDER)}
    assert "dutch: 1 value of" in gather(database, definitions, as_of=AS_OF).warnings[0]


def test_what_is_not_there_is_told_and_our_own_events_are_not_missed(database: Database) -> None:
    happened = [
        Happened(1, "Order", START, {"total": 5}),
        Happened(1, "Order", AS_OF + DAY),
        Happened(1, "Order", AS_OF),
    ]
    assigned = [
        Assigned(1, "coupon", START),
        Assigned(2, "coupon", AS_OF + DAY),
        Assigned(3, "coupon", AS_OF + HOUR),
    ]
    store(database, assigned=assigned, happened=happened)
    definitions = {
        "typo": metric(
            kind="ratio", numerator={"event": "Order"}, denominator={"event": "Ordr"}, window="1d"
        ),
        "wrong": METRICS["sum"],
        "cut": metric(kind="count", event="Order", where={"total": 6}, cap={"quantile": 0.5}, window="1d"),
        "opted_out": BUILT_IN["opted_out"],
        "replied": BUILT_IN["replied"],
    }
    assert gather(database, definitions, as_of=AS_OF).warnings == (
        "typo: no event 'Ordr' was ever recorded, so nobody has any; check its name",
        "wrong: every user has 0; check `value`",
        "cut: every user has 0; its cap is 0 where no more than 0.5 of all users have more; raise the quantile",
        "1 events 'Order' have a time that is still to come and count nowhere yet",
        "1 users were assigned at a time that is still to come and count nowhere yet",
    )
