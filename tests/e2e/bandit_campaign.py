"""Two weeks in which 65 people a quarter of a day sign up, and a bandit learns which of three messages makes them buy."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlmodel import Session, col, select

from analysis.bandits.models import Reallocation
from api.demo.people import make_people
from delivery.models import Message
from delivery.simulator.config import Delays
from experiments.clock import SteppedClock
from experiments.models import Epoch
from targeting.models import Assignment, Event, User
from tests.e2e.stepped_campaign import SteppedCampaign, answer_of

KEY: Final = "welcome"
STEP: Final = timedelta(hours=6)
STEPS_A_DAY: Final = 4
DAYS: Final = 14
TAIL_DAYS: Final = 4
"""Days after the last sign-up, until the last window has closed and the last message that a cap put off has gone."""
A_STEP: Final = 65
WINDOW: Final = timedelta(days=3)
CAPS: Final[dict[str, Any]] = {"marketing": {"day": 1, "week": 2, "min_interval": "36h"}}
INTERVAL: Final = timedelta(hours=36)
DELAYS: Final = Delays(read=3600.0, buy=8 * 3600.0)
"""At most six times these (`draws.DELAY_SPAN`): the last order that a message causes comes 55 hours after it, within the window."""

SILENCE: Final = {"visit": 0.3, "buy": 1.0, "revenue": 40.0}
TEMPLATE: Final = {
    "delivered": 0.97,
    "read": 0.8,
    "clicked": 0.5,
    "opted_out": 0.004,
    "buy": 0.9,
    "parameters": 1,
}
BEHAVIOUR: Final[dict[str, Any]] = {
    "silence": SILENCE,
    "templates": {
        "welcome_hello": TEMPLATE | {"visit": 0.34},
        "welcome_series": TEMPLATE | {"visit": 0.36},
        "welcome_coupon": TEMPLATE | {"visit": 0.47},
    },
}
"""Visits of one's own are spread over the whole campaign, so that 5 in 100 buy by themselves within three days of any moment. A message
adds 3.6, 5.4 and 15.3 of 100 (visits that it causes, 0.9 of which end with an order)."""
FLOOR: Final = 0.1
BEST: Final = "coupon"
STEPS_OF_SERIES: Final = 3
DESIGN: Final[dict[str, Any]] = {
    "key": KEY,
    "name": "Welcome whoever signs up",
    "hypothesis": "A coupon makes more newcomers buy than a greeting, and both more than silence",
    "category": "marketing",
    "trigger": {"type": "event", "event": "Signed Up"},
    "variants": [
        {"key": "silence", "control": True},
        *(
            {
                "key": key,
                "message": {
                    "template": f"welcome_{key}",
                    "language": "en_US",
                    "parameters": ["{{ user.first_name }}"],
                    "link": "https://shop.example/welcome",
                },
                **more,
            }
            for key, more in (
                ("hello", {}),
                # Sooner after each other than the policy allows, and one more than the week's cap leaves room for.
                ("series", {"frequency": {"steps": STEPS_OF_SERIES, "min_interval": "24h"}}),
                ("coupon", {}),
            )
        ),
    ],
    "metrics": [
        {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed", "window": "3d"},
        {"key": "revenue", "role": "secondary", "kind": "mean", "event": "Order Completed", "value": "revenue", "window": "3d"},
        {"key": "opted_out", "role": "guardrail", "margin": 0.03, "window": "3d"},
    ],
    "plan": {"method": "always_valid", "alpha": 0.002, "power": 0.8, "mde": 0.5},
    "allocation": {"policy": "thompson", "metric": "bought", "interval": "1d", "floor": FLOOR, "burn_in": {"users": 60, "conversions": 5}},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is stored at the end, as it is: read here without any of the code that analyses it."""

    experiment_id: int
    people: dict[int, str]
    assignments: list[Assignment]
    messages: list[Message]
    orders: dict[int, list[datetime]]
    epochs: list[Epoch]
    reallocations: list[Reallocation]

    def users(self, *, until: datetime | None = None) -> dict[str, list[Assignment]]:
        """Assignments by variant."""
        found: dict[str, list[Assignment]] = defaultdict(list)
        for row in self.assignments:
            if until is None or row.assigned_at <= until:
                found[row.variant].append(row)
        return found


def run(campaign: SteppedCampaign) -> list[str]:
    """Import, design, start; two weeks of sign-ups and what follows from them. Returns who has agreed to marketing, sorted."""
    people = list(
        make_people(DAYS * STEPS_A_DAY * A_STEP, now=campaign.clock.now(), rng=np.random.default_rng(1))
    )
    import_people(campaign, people)
    answer_of(campaign.admin.put("/v1/delivery/policy", json=CAPS))
    campaign.load_world([{name: row[name] for name in ("user_id", "phone")} for row in people], BEHAVIOUR)
    assert answer_of(campaign.http.put(f"/v1/experiments/{KEY}", json=DESIGN))["outcome"] == "created"
    answer_of(campaign.http.post(f"/v1/experiments/{KEY}/start"))
    campaign.begin((DAYS + TAIL_DAYS) * timedelta(days=1))
    comes = iter(people)
    rng = np.random.default_rng(2)
    for step in range((DAYS + TAIL_DAYS) * STEPS_A_DAY):
        before = campaign.clock.now()
        campaign.let_pass(STEP)
        if step < DAYS * STEPS_A_DAY:
            moments = np.sort(rng.uniform(0, STEP.total_seconds(), A_STEP))
            campaign.tell(
                "Signed Up", {next(comes)["user_id"]: before + timedelta(seconds=int(s)) for s in moments}
            )
        campaign.work()
        if step % STEPS_A_DAY == STEPS_A_DAY - 1:
            campaign.end_of_day()
    return sorted(row["user_id"] for row in people if row["consent_marketing"] == "yes")


def import_people(campaign: SteppedCampaign, people: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(people[0]))
    writer.writeheader()
    writer.writerows(people)
    answer = answer_of(
        campaign.http.post("/v1/imports", content=text.getvalue(), headers={"Content-Type": "text/csv"})
    )
    assert (answer["created"], answer["rejects"]) == (len(people), [])


def read_rows(session: Session) -> Rows:
    orders: dict[int, list[datetime]] = defaultdict(list)
    for event in session.exec(select(Event).where(Event.name == "Order Completed")):
        orders[event.user_pk].append(event.at)
    assignments = list(session.exec(select(Assignment)))
    return Rows(
        experiment_id=assignments[0].experiment_id,
        people={user.id or 0: user.user_id or "" for user in session.exec(select(User))},
        assignments=assignments,
        messages=list(session.exec(select(Message))),
        orders=orders,
        epochs=list(session.exec(select(Epoch).order_by(col(Epoch.number)))),
        reallocations=list(session.exec(select(Reallocation).order_by(col(Reallocation.slot)))),
    )


def campaign_on(database_url: str, *, start: datetime, seed: int = 2026) -> SteppedCampaign:
    return SteppedCampaign(database_url=database_url, clock=SteppedClock(start), seed=seed, delays=DELAYS)
