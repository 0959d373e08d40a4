"""One batch of rows becomes users and consents, in one transaction."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlmodel import Session

from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, Unavailable
from targeting import consent, rule_triggers, tombstones, user_repository
from targeting.imports.cells import ImportRow
from targeting.imports.seen import Seen
from targeting.imports.source import Reject
from targeting.roster import Roster

_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of the rows: rows = created + updated + unchanged + merged_duplicates + rejected.

    `consents_kept_withdrawn` counts the rows whose "yes" was outweighed by an earlier "no".
    """

    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    merged_duplicates: int = 0
    rejected: int = 0
    consents_granted: int = 0
    consents_withdrawn: int = 0
    consents_kept_withdrawn: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def __add__(self, other: "ImportSummary") -> "ImportSummary":
        mine, others = asdict(self), asdict(other)
        return ImportSummary(**{name: mine[name] + others[name] for name in mine})


def store(
    database: Database,
    clock: Clock,
    batch: Sequence[ImportRow | Reject],
    *,
    seen: Seen,
    origin: str,
    consent_source: str,
    erasure_secret: str = "",
    after: Callable[[Session], None] | None = None,
) -> tuple[ImportSummary, list[Reject]]:
    """Store one batch in one transaction of its own; returns what became of its rows, and those that were not taken.

    `seen` remembers the users of the batches before. `origin` and `consent_source` go into the consent ledger. `after` is
    called last in the transaction. Raises Unavailable when the database kept being busy.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.transaction() as session:
                stored = store_rows(
                    session,
                    clock,
                    batch,
                    origin=origin,
                    consent_source=consent_source,
                    erasure_secret=erasure_secret,
                )
                if after is not None:
                    after(session)
            break
        except user_repository.RACED as error:
            if attempt == _ATTEMPTS:
                raise Unavailable("the database is busy; run the import again later") from error
    return count_up(batch, stored, seen=seen)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a transaction took of a batch: user ids, rows that were refused only now, and consents."""

    accepted: set[str]
    created: set[str]
    updated: set[str]
    rejected: list[Reject]
    consents: consent.Applied


def count_up(
    batch: Sequence[ImportRow | Reject], stored: Stored, *, seen: Seen
) -> tuple[ImportSummary, list[Reject]]:
    """What became of each row of a batch, and those that were not taken in the order of the file; `seen` learns its users."""
    rejected = sorted(
        [item for item in batch if isinstance(item, Reject)] + stored.rejected, key=lambda reject: reject.line
    )
    again = seen.add(stored.accepted)
    created = stored.created - again
    updated = stored.updated - again
    users = len(stored.accepted - again)
    summary = ImportSummary(
        rows=len(batch),
        created=len(created),
        updated=len(updated),
        unchanged=users - len(created) - len(updated),
        merged_duplicates=len(batch) - len(rejected) - users,
        rejected=len(rejected),
        consents_granted=stored.consents.granted,
        consents_withdrawn=stored.consents.withdrawn,
        consents_kept_withdrawn=stored.consents.kept_withdrawn,
    )
    return summary, rejected


def store_rows(
    session: Session,
    clock: Clock,
    batch: Sequence[ImportRow | Reject],
    *,
    origin: str,
    consent_source: str,
    erasure_secret: str,
) -> Stored:
    """Store the rows of a batch that could be read. Raises one of `user_repository.RACED` when another transaction was quicker."""
    rows = [item for item in batch if isinstance(item, ImportRow)]
    known = user_repository.people(session, {row.change.user_id for row in rows}, to_change=True)
    phones = {row.change.phone for row in rows if row.change.phone is not None}
    owners = user_repository.owners_of(session, phones)
    roster = Roster([*known.values(), *user_repository.strangers_among(session, owners)], owners)
    names = {(tombstones.USER_ID, row.change.user_id) for row in rows if row.change.user_id not in known}
    names |= {(tombstones.PHONE, phone) for phone in phones}
    accepted, rejected = _apply(
        rows, roster, erased=tombstones.erased_among(session, names, secret=erasure_secret)
    )
    newcomers, changed = roster.newcomers, roster.changed
    now = clock.now()
    user_repository.free_phones(session, roster.moving_phones)
    user_repository.insert_all_people(session, newcomers, now=now)
    user_repository.update_people(session, changed, now=now)
    rule_triggers.note_changes(session, changes=roster.attribute_changes(), now=now)
    changes = [
        consent.ConsentChange(
            user_pk=user_repository.stored_id(roster.enter(row.change.user_id)),
            category=category,
            granted=granted,
            **_proof_of(row, category, origin, consent_source),
        )
        for row in accepted
        for category, granted in row.consents.items()
    ]
    return Stored(
        accepted={row.change.user_id for row in accepted},
        created={person.user_id for person in newcomers},
        updated={person.user_id for person in changed},
        rejected=rejected,
        consents=consent.apply_changes(session, clock, changes=changes, from_file=True),
    )


def _apply(
    rows: Sequence[ImportRow], roster: Roster, *, erased: Collection[tombstones.Name]
) -> tuple[list[ImportRow], list[Reject]]:
    """Change the people of a batch, row by row in the order of the file; a row that may not change them is rejected."""
    accepted: list[ImportRow] = []
    rejected: list[Reject] = []
    for row in rows:
        try:
            _check_not_erased(row, erased)
            roster.apply(row.change)
            accepted.append(row)
        except (Conflict, Invalid) as error:
            problem = error.problems[0]
            rejected.append(Reject(row.line, problem.field, problem.message, row.raw, row.cells))
    return accepted, rejected


def _check_not_erased(row: ImportRow, erased: Collection[tombstones.Name]) -> None:
    for name in ((tombstones.USER_ID, row.change.user_id), (tombstones.PHONE, row.change.phone or "")):
        if name in erased:
            raise Conflict("belongs to somebody who was erased", field=name[0])


def _proof_of(row: ImportRow, category: str, origin: str, consent_source: str) -> dict[str, str]:
    source, evidence = row.proofs.get(category, (None, None))
    place = f"import {origin} line {row.line}"
    return {
        "source": source or consent_source,
        "evidence": f"{evidence} ({place})"[: consent.MAX_EVIDENCE] if evidence else place,
    }
