"""Every fact that a report, its slices or a bandit is made of, as numbers by name, to be compared between engines."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import pytest

from analysis.facts.allocation_facts import gather_allocation, gather_drawn
from analysis.facts.compliance_facts import gather_compliance
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.facts.epoch_facts import gather_epochs
from analysis.facts.facts import gather
from analysis.facts.guard_facts import gather_harm
from analysis.facts.slice_facts import By, gather_by
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.database import Database
from experiments.guards import Guard
from experiments.metrics import BUILT_IN, MetricDefinition
from tests.integration.analysis_rows import HOUR, START
from tests.integration.warehouse_rows import AS_OF, METRICS, ODD_EVENT, VARIANTS, WEEK, a_world

REVENUE = {"event": "Order", "value": "revenue"}


def _metric(kind: str, **fields: Any) -> MetricDefinition:
    return MetricDefinition.model_validate({"kind": kind, "window": WEEK, **fields})


KINDS: Final[Mapping[str, MetricDefinition]] = {
    **METRICS,
    "paid": _metric("sum", **REVENUE, where={"revenue": {"$gte": 0.5}}, covariate="28d"),
    "unpaid": _metric("count", event="Order", where={"revenue": None}),
    "capped": _metric("sum", **REVENUE, cap={"quantile": 0.97}, covariate="28d"),
    "cut": _metric("count", event="Order", cap={"value": 2, "quantile": 0.99}),
    "per order": _metric("ratio", numerator=REVENUE, denominator={"event": "Order"}, covariate="14d"),
    "per read": _metric("ratio", numerator={"event": ODD_EVENT}, denominator={"message": "read"}),
    "p90": _metric("quantile", level=0.9, **REVENUE),
    "came back": _metric("retention", event="Order", after="2d", covariate="7d"),
    "reads": _metric("count", message="read", window="4d"),
    **BUILT_IN,
}
"""One of each kind, with covariates, filters and caps, over the events of `a_world`."""
KINDS_OF_FACTS: Final = frozenset(
    {"arm", "metric", "reached", "epoch", "day", "drawn", "epochs", "bandit", "guard"}
)
SEED: Final = 4
FOR_BANDITS: Final = ("bought", "orders", "paid", "reads")
GUARDS: Final = tuple(
    Guard(key=key, metric=metric, margin=0.0)
    for key, metric in (
        ("ordered", _metric("proportion", event="Order")),
        ("paid", _metric("proportion", event="Order", where={"revenue": {"$gte": 0.5}})),
        *((key, BUILT_IN[key]) for key in ("blocked", "failed")),
    )
)

Numbers = dict[tuple[object, ...], float]


def every_fact(engine: FactsEngine, *, experiment: int = 1) -> Numbers:
    """All of them; each name begins with what it is a fact of."""
    asked: Any = {"experiment_id": experiment, "as_of": AS_OF}
    whole = gather(engine, definitions=KINDS, **asked)
    found: Numbers = {}
    for variant, arm in whole.arms.items():
        found |= _flat(("arm", variant), asdict(arm))
    for key, by_variant in whole.metrics.items():
        for variant, value in by_variant.items():
            found |= _moments(("metric", key, variant), value)
    told = gather_compliance(engine, definitions=KINDS, found=whole.metrics, **asked)
    for key, reached in told.items():
        for variant, value in reached.items():
            found |= _moments(("reached", key, variant), value)
    for key, by_epoch in gather_epochs(engine, definitions=KINDS, **asked).items():
        for number, by_variant in by_epoch.items():
            for variant, value in by_variant.items():
                found |= _moments(("epoch", key, number, variant), value)
    for key, by_day in gather_by(engine, definitions=KINDS, by=By(), **asked).items():
        for day, by_variant in by_day.items():
            for variant, value in by_variant.items():
                found |= _moments(("day", key, day, variant), value)
    for cell in gather_drawn(engine, **asked):
        found |= _flat(("drawn", cell.epoch, cell.variant), asdict(cell))
    for key in FOR_BANDITS:
        seen = gather_allocation(engine, metric=KINDS[key], variants=VARIANTS, with_messages=True, **asked)
        found |= _flat(("epochs", key), dict(enumerate(seen.epochs)))
        for part in ("users", "converters", "total", "total_squares", "delivered", "delays"):
            found |= {("bandit", key, part, i): value for i, value in enumerate(getattr(seen, part).flat)}
    # The first variant once as one with messages, once as a silent control.
    for silent, since in ((None, None), (VARIANTS[0], None), (None, START + 48 * HOUR)):
        harm = gather_harm(
            engine, guards=GUARDS, variants=VARIANTS, silent_control=silent, within=timedelta(days=3), since=since, **asked
        )  # fmt: skip
        for part, values in {"users": harm.users, **harm.harmed}.items():
            found |= {("guard", str(silent), str(since), part, i): int(value) for i, value in enumerate(values.flat)}  # fmt: skip
    return found


def facts_of(url: str) -> Numbers:
    """`every_fact` of a database that is filled first, with the same world whichever it is."""
    database = Database(url)
    a_world(database, SEED)
    with database.snapshot() as session:
        found = every_fact(SessionFacts(session))
    database.dispose()
    return found


def the_same_facts(one: Numbers, other: Numbers) -> None:
    """The same facts of both, and each number the same to 1e-9."""
    assert one.keys() == other.keys()
    differ = [
        (name, value, other[name])
        for name, value in one.items()
        if other[name] != pytest.approx(value, rel=1e-9, abs=_least(one, name))
    ]
    assert not differ, differ[:5]


def _least(found: Numbers, name: tuple[object, ...]) -> float:
    """What rounding may leave of a number that is 0 or nearly: of a covariance, 1e-9 of the deviations it is made of.

    Where one of them is 0 itself, what is left is of the other.
    """
    last = str(name[-1])
    if not last.startswith("covariance_"):
        return 1e-12
    names = {"y": "variance", "d": "variance_d", "x": "variance_x"}
    one, other = (found[(*name[:-1], names[letter])] for letter in last.removeprefix("covariance_"))
    return 1e-9 * math.sqrt(one * other) + 1e-12 * math.sqrt((1 + one) * (1 + other))


def _moments(name: tuple[object, ...], value: Aggregate | Quantile) -> Numbers:
    return _flat(name, asdict(value))


def _flat(name: tuple[object, ...], value: object) -> Numbers:
    if isinstance(value, Mapping):
        return {
            place: number
            for key, inner in value.items()
            for place, number in _flat((*name, key), inner).items()
        }
    # Texts only repeat the name.
    return {name: value} if isinstance(value, int | float) else {}
