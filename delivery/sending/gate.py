"""The gate: the very last look at a few messages that are about to be POSTed, held open until their POSTs have begun.

Reserving looks at consent and commits; only then may the POST begin, so time lies between the two. The gate closes it: in a
transaction of its own it locks the people, asks once more whether they still want the message and whether anything was
stopped, and keeps the locks while the POSTs begin. A withdrawal takes the same locks (`targeting.consent`), so it either is
committed before the gate looks, and is seen, or waits until the POSTs have begun. Whoever stops everything takes the lock of
`dispatch_repository.hold_sends`, with the same effect. Nothing is written: the transaction ends with a rollback, which
costs no write to the disk. docs/decisions/0012-opting-out-is-instant.md says what else was considered.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.outbox import dispatch_repository as repository
from delivery.sending.reserving import Begun
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.vocabulary import ExperimentStatus


@dataclass(frozen=True, slots=True)
class Look:
    """What may begin now; what must not, and why; and what must be asked again in a moment, because somebody else just holds
    the person's row.
    """

    goes: Sequence[Begun]
    stays: Sequence[tuple[Begun, str]]
    busy: Sequence[Begun]


@contextmanager
def gate(
    database: Database,
    clock: Clock,
    group: Sequence[Begun],
    *,
    number: str,
    designs: Mapping[int, ExperimentDesign],
) -> Iterator[Look]:
    """Look at each message once more; what the look decides holds until the block ends. Raises as the database does."""
    with Session(database.engine) as session:
        yield look(session, clock, group, number=number, designs=designs)


def look(
    session: Session,
    clock: Clock,
    group: Sequence[Begun],
    *,
    number: str,
    designs: Mapping[int, ExperimentDesign],
) -> Look:
    """Ask everything that may have changed since the messages were reserved, under locks that the transaction keeps."""
    repository.begin_sends(session)
    phones = repository.lock_phones(session, [item.story.user_pk for item in group])
    # A statement of its own, begun under the lock: what was committed before it is seen.
    consented = repository.consented(session, list(phones))
    fuses = breakers.open_keys(session, clock.now())
    everything = not fuses.isdisjoint({breakers.EVERYTHING, (breakers.Kind.NUMBER, number)})
    experiments = {item.story.experiment_id for item in group}
    blocked = set(breakers.blocked_variants({pk: designs[pk] for pk in experiments}, fuses)) if fuses else ()
    now = repository.experiments_now(session, experiments)
    goes: list[Begun] = []
    stays: list[tuple[Begun, str]] = []
    busy: list[Begun] = []
    for item in group:
        story = item.story
        if everything or (story.experiment_id, story.variant) in blocked:
            stays.append((item, "paused"))
        elif now[story.experiment_id].status != ExperimentStatus.RUNNING:
            stays.append((item, now[story.experiment_id].status))
        elif story.variant in now[story.experiment_id].silenced:
            stays.append((item, now[story.experiment_id].silenced[story.variant]))
        elif story.user_pk not in phones:
            busy.append(item)
        elif (story.user_pk, story.category) not in consented:
            stays.append((item, "consent"))
        elif phones[story.user_pk] != item.message.to:
            stays.append((item, "phone"))
        else:
            goes.append(item)
    return Look(goes, stays, busy)
