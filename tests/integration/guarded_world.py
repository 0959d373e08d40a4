"""A campaign that is guarded: planned, sent bit by bit to a sender that accepts everything, and people who answer STOP, or fail."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from sqlmodel import col, select

from analysis.bandits.guarding import ArmStopped, guard_tick
from delivery.planning import planner
from experiments import service
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Experiment
from experiments.repository import current_epoch, get_experiment
from targeting import campaigns
from tests.integration import outbox
from tests.integration.outbox import FakeSender
from tests.integration.webhooks import come, project, status, statuses, text_from

KEY = "guarded"
PEOPLE = 1200
HALF_AN_HOUR = timedelta(minutes=30)


def said(template: str) -> dict[str, Any]:
    return {"template": template, "language": "en_US"}


PLAIN = {"key": "plain", "control": True, "message": said("plain")}
PUSHY = {"key": "pushy", "message": said("pushy")}
KIND = {"key": "kind", "message": said("kind")}
SILENCE = {"key": "silence", "control": True}


class World:
    """One running campaign. `harm`: template -> share of those who get it that answers STOP, or whose message fails with `code`."""

    def __init__(
        self,
        database: Database,
        clock: SteppedClock,
        *,
        harm: Mapping[str, float],
        code: int | None = None,
        people: int = PEOPLE,
        **changes: Any,
    ) -> None:
        self.database, self.clock, self.harm, self.code = database, clock, harm, code
        self.rng = np.random.default_rng(1)
        self.sender = FakeSender()
        self.seen = 0
        document = outbox.design(key=KEY, **{"variants": [PLAIN, PUSHY], **changes})
        outbox.add_users(database, clock, people)
        with database.transaction() as session:
            made = service.create(session, clock, actor="test", document=document)
            campaigns.start(session, clock, actor="test", key=KEY)
            assert made.id is not None
            self.id = made.id
        self.plan()

    def plan(self) -> None:
        planner.plan_tick(self.database, self.clock, settings=outbox.settings())

    def send(self, number: int) -> Counter[str]:
        """Send so many, let people react within minutes, and half an hour pass; returns what was sent, by template."""
        outbox.dispatch(self.database, self.clock, self.sender, limit=number)
        new = list(enumerate(self.sender.sent, 1))[self.seen :]
        self.seen = len(self.sender.sent)
        self.clock.advance(timedelta(minutes=1))
        failed = []
        for number, message in new:
            if self.rng.random() >= self.harm.get(message.template, 0.0):
                continue
            if self.code is None:
                come(self.database, self.clock, text_from(message.to, "STOP", self.clock.now()))
            else:
                wamid = f"wamid.{number}"
                failed.append(
                    status("failed", self.clock.now(), message.callback_data, wamid=wamid, code=self.code)
                )
        if failed:
            come(self.database, self.clock, statuses(*failed))
        project(self.database, self.clock)
        self.clock.advance(HALF_AN_HOUR)
        return Counter(message.template for _, message in new)

    def guard(self) -> list[ArmStopped]:
        return guard_tick(self.database, self.clock, key=KEY)

    def run(self, number: int = 150) -> list[ArmStopped]:
        """Send until a guard stops something, or nothing is left."""
        while self.send(number):
            if stopped := self.guard():
                return stopped
        self.clock.advance(2 * HALF_AN_HOUR)
        return self.guard()

    def experiment(self) -> Experiment:
        with self.database.snapshot() as session:
            return get_experiment(session, KEY)

    def weights(self) -> dict[str, float]:
        with self.database.snapshot() as session:
            return current_epoch(session, self.id).weights

    def states(self, variant: str) -> Counter[tuple[str, str | None]]:
        rows = outbox.messages(self.database).values()
        return Counter((row.state, row.reason) for row in rows if row.variant == variant)

    def audited(self, action: str) -> list[AuditEntry]:
        query = select(AuditEntry).where(AuditEntry.action == action).order_by(col(AuditEntry.id))
        with self.database.snapshot() as session:
            return list(session.exec(query))

    def release(self, variant: str = "pushy", reason: str = "a test list", *, restore: bool = False) -> int:
        """Returns how many messages are planned again."""
        with self.database.transaction() as session:
            _, restored = planner.release(
                session, self.clock, actor="ann", key=KEY, variant=variant, reason=reason, restore=restore
            )
        return restored
