"""Sending takes turns with the question whether the process is to end."""

from dataclasses import dataclass, field

import pytest

from api import jobs
from api.wiring import Wiring
from delivery.sending.dispatch import Dispatched
from experiments.clock import SystemClock
from experiments.database import Database
from experiments.errors import Unavailable
from experiments.settings import Settings

SOME = jobs.SECONDS_AT_A_TIME * 80


@dataclass
class Sender:
    """Has so many messages to send; asked to end during the n-th run."""

    wiring: Wiring
    due: int
    ends_in: int = 0
    limits: list[int] = field(default_factory=list)

    def run_blocking(self, limit: int) -> Dispatched:
        self.limits.append(limit)
        if len(self.limits) == self.ends_in:
            self.wiring.ending.set()
        claimed = min(limit, self.due)
        self.due -= claimed
        return Dispatched(claimed=claimed, accepted=claimed)


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A mark for each time that the guards look; there is no database here."""
    found: list[int] = []
    monkeypatch.setattr(jobs, "guard", lambda _wiring: found.append(1))
    return found


def sent(due: int, *, ends_in: int = 0) -> tuple[int, int]:
    wiring = Wiring(Settings(messages_per_second=80), SystemClock(), Database("sqlite://"))
    sender = wiring.__dict__["dispatcher"] = Sender(wiring, due, ends_in)
    done = jobs.dispatch(wiring)
    wiring.database.dispose()
    return done.accepted, len(sender.limits)


def test_everything_due_goes_out_in_one_job() -> None:
    assert sent(3) == (3, 1)
    assert sent(2 * SOME + 1) == (2 * SOME + 1, 3)


def test_a_job_ends_early_when_the_process_is_to_end() -> None:
    assert sent(100 * SOME, ends_in=2) == (2 * SOME, 2)


def test_a_job_ends_after_many_messages() -> None:
    assert sent(10**6)[0] == jobs.MESSAGES_PER_RUN


def test_the_guards_look_before_each_part_and_nothing_goes_out_when_they_cannot(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sent(2 * SOME + 1)[1] == len(looks) == 3

    def fail(_wiring: Wiring) -> None:
        raise Unavailable("nobody knows")

    monkeypatch.setattr(jobs, "guard", fail)
    wiring = Wiring(Settings(messages_per_second=80), SystemClock(), Database("sqlite://"))
    sender = wiring.__dict__["dispatcher"] = Sender(wiring, 3)
    with pytest.raises(Unavailable):
        jobs.dispatch(wiring)
    wiring.database.dispose()
    assert sender.due == 3
