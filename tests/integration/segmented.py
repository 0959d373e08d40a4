"""A campaign whose effect is planted by country: what each user did is drawn once, and counted again in numpy."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from sqlalchemy import update

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, enrolment, store
from tests.integration.test_report import start, two_arms

COUNTRIES = ("NL", "BR", "US")
PER_COUNTRY = 400
"""Users, half in each arm; of a fourth country there are 60, and 40 do not say."""


@dataclass(frozen=True)
class World:
    key: str
    country: np.ndarray
    variant: np.ndarray
    day: np.ndarray
    revenue: np.ndarray

    def of(self, variant: str, *, country: str) -> np.ndarray:
        return self.revenue[(self.variant == variant) & (self.country == country)]


def segmented(
    database: Database,
    clock: SteppedClock,
    *,
    lifts: tuple[float, float, float],
    method: str = "fixed",
    after: timedelta = 9 * DAY,
) -> World:
    """Start it, let users come on two days and spend around 20, in the coupon arm `lifts` more by country; look `after` so long."""
    key = start(database, clock, two_arms(plan={"method": method}))
    rng = np.random.default_rng(5)
    country = np.array([name for name in COUNTRIES for _ in range(PER_COUNTRY)] + ["DE"] * 60 + [""] * 40)
    n = len(country)
    variant = np.array(["silence", "coupon"] * (n // 2))
    late = rng.random(n) < 0.4
    more = np.array([dict(zip(COUNTRIES, lifts, strict=True)).get(name, 0.0) for name in country])
    revenue = np.round(rng.normal(20 + more * (variant == "coupon"), 8), 2)
    assigned = [Assigned(i + 1, str(variant[i]), START + DAY if late[i] else START) for i in range(n)]
    happened = [
        Happened(one.user, "Order", one.at + HOUR, {"revenue": float(revenue[one.user - 1])})
        for one in assigned
    ]
    store(database, assigned=assigned, happened=happened)
    with database.transaction() as session:
        for name in {*COUNTRIES, "DE"}:
            users = [int(i) + 1 for i in np.flatnonzero(country == name)]
            changed = update(User).where(User.id.in_(users))  # type: ignore[union-attr]
            session.connection().execute(changed.values(attributes={"country": name, "planet": "Earth"}))
        silent = [int(i) + 1 for i in np.flatnonzero(country == "")]
        changed = update(User).where(User.id.in_(silent))  # type: ignore[union-attr]
        session.connection().execute(changed.values(attributes={"planet": "Earth", "tags": ["a"]}))
    enrolment(database, last_user=n, finished_at=START + DAY)
    clock.advance(after)
    day = np.where(late, f"{START + DAY:%Y-%m-%d}", f"{START:%Y-%m-%d}")
    return World(key, country, variant, day, revenue)
