"""A campaign with a bandit whose users come by and by, drawn with the weights of the open epoch, and who buy at known rates."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlmodel import select

from analysis.bandits.models import Reallocation
from analysis.bandits.reallocation import reallocate_tick
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.models import Epoch, Experiment
from experiments.repository import current_epoch, get_experiment
from targeting.models import Assignment, Event, User
from tests.integration.analysis_rows import DAY, HOUR, START, add_all, design

KEY = "spring"
RATES = {"silence": 0.05, "reminder": 0.07, "coupon": 0.15, "late": 0.2}
CLOSE = {"silence": 0.05, "reminder": 0.11, "coupon": 0.12}
"""With these, every day brings other weights."""
BOUGHT = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "1d"}
SPENT = {
    "key": "spent",
    "role": "secondary",
    "kind": "mean",
    "event": "Order",
    "value": "revenue",
    "window": "1d",
}


def start(
    database: Database, clock: SteppedClock, *, allocation: Mapping[str, Any] | None = None, **changes: Any
) -> int:
    """Create and start it; returns its id."""
    document = design(
        trigger={"type": "rule"},
        metrics=[BOUGHT, SPENT],
        allocation={"policy": "thompson", **(allocation or {})},
        **changes,
    )
    with database.transaction() as session:
        made = service.create(session, clock, actor="test", document=document)
        service.move(session, clock, actor="test", key=made.key, move=Move.START)
        assert made.id is not None
        return made.id


def users_come(
    database: Database,
    *,
    number: int,
    at: datetime,
    seed: int = 1,
    rates: Mapping[str, float] | None = None,
    propensity: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> None:
    """`number` users over one day from `at` on, drawn with the weights of the open epoch unless others are given; buyers wait
    three hours on average, an hour at least. propensity: what is logged, when it is not the truth.
    """
    rng = np.random.default_rng(seed)
    rates = rates or RATES
    with database.transaction() as session:
        experiment = get_experiment(session, KEY)
        assert experiment.id is not None
        epoch = current_epoch(session, experiment.id)
        # PostgreSQL keeps the keys of a document in another order.
        drawn = {variant: (weights or epoch.weights)[variant] for variant in sorted(epoch.weights)}
        first = max(session.exec(select(User.id)).all() or [0])  # type: ignore[type-var]
        variants = rng.choice(list(drawn), size=number, p=list(drawn.values()))
        people = range(first + 1, first + 1 + number)
        times = [at + timedelta(seconds=int(s)) for s in np.sort(rng.uniform(0, 86_000, number))]
        add_all(
            session,
            User,
            [
                {"id": pk, "user_id": f"u{pk}", "attributes": {}, "created_at": at, "updated_at": at}
                for pk in people
            ],
        )
        add_all(
            session,
            Assignment,
            [
                {
                    "experiment_id": experiment.id,
                    "user_pk": pk,
                    "variant": str(variant),
                    "epoch": epoch.number,
                    "propensity": propensity or epoch.weights[str(variant)],
                    "assigned_at": moment,
                }
                for pk, variant, moment in zip(people, variants, times, strict=True)
            ],
        )
        add_all(
            session,
            Event,
            [
                {
                    "message_id": f"m{pk}",
                    "user_pk": pk,
                    "name": "Order",
                    "at": moment + HOUR + timedelta(seconds=int(rng.exponential(7200))),
                    "received_at": moment,
                    "properties": {"revenue": round(float(rng.gamma(2, 10)), 2)},
                }
                for pk, variant, moment in zip(people, variants, times, strict=True)
                if rng.random() < rates[str(variant)]
            ],
        )


def days_pass(
    database: Database,
    clock: SteppedClock,
    *,
    days: int,
    number: int = 900,
    ticks: bool = True,
    **coming: Any,
) -> list[Reallocation]:
    """So many days, each with users who come and with a tick at its end (unless `ticks` is False); returns what the ticks did."""
    done = []
    for _ in range(days):
        seed = (clock.now() - START) // HOUR + 1
        users_come(database, number=number, at=clock.now(), seed=seed, **coming)
        clock.advance(DAY)
        done += reallocate_tick(database, clock) if ticks else []
    return done


def weights_now(database: Database) -> dict[str, float]:
    with database.snapshot() as session:
        return current_epoch(session, _experiment(session).id or 0).weights


def epochs(database: Database) -> list[Epoch]:
    with database.snapshot() as session:
        return list(session.exec(select(Epoch).order_by(Epoch.number)).all())  # type: ignore[arg-type]


def reallocations(database: Database) -> list[Reallocation]:
    with database.snapshot() as session:
        return list(session.exec(select(Reallocation).order_by(Reallocation.slot)).all())  # type: ignore[arg-type]


def _experiment(session: Any) -> Experiment:
    return get_experiment(session, KEY)
