"""A dry run says what the import then does, and leaves every table as it was."""

import csv
import io
from typing import Any

import pytest
from sqlmodel import SQLModel, func, select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import TooLarge
from targeting import privacy, users
from targeting.imports.importing import ImportOptions, ImportOutcome, import_users
from targeting.imports.rehearsal import SHOWN_REJECTS, Preview, preview_users
from targeting.models import User

SECRET = "of-the-erasure"
OPTIONS: dict[str, Any] = {"erasure_secret": SECRET, "batch": 2}
HEADER = "user_id,phone,country,consent_marketing\n"
FILE = (
    HEADER
    + "u1,+12025550101,BR,yes\n"  # changes somebody
    + "new,+12025550102,NL,yes\n"  # the phone is u2's, who is in the database
    + "a,+12025550103,NL,yes\n"
    + "b,+12025550103,NL,no\n"  # the phone is a's, who is new in the batch before
    + "gone,,NL,yes\n"  # was erased
    + "c,+12025550104,NL,yes\n"  # the phone was that of somebody erased
    + "d,12,NL,yes\n"  # cannot be read
    + "a,,DE,yes\n"
)


def run(database: Database, clock: SteppedClock, data: str, **options: Any) -> tuple[ImportOutcome, Any]:
    rejects = io.StringIO()
    outcome = import_users(
        database,
        clock,
        io.BytesIO(data.encode()),
        actor="ann",
        options=ImportOptions(**(OPTIONS | options)),
        rejects=rejects,
    )
    return outcome, list(csv.DictReader(io.StringIO(rejects.getvalue())))


def rehearse(
    database: Database, clock: SteppedClock, data: str, *, together: int = 100, **options: Any
) -> Preview:
    return preview_users(
        database,
        clock,
        io.BytesIO(data.encode()),
        options=ImportOptions(**(OPTIONS | options)),
        together=together,
    )


def counts(database: Database) -> dict[str, int]:
    with database.snapshot() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in SQLModel.metadata.tables.items()
        }


@pytest.fixture
def peopled(database: Database, clock: SteppedClock) -> Database:
    run(database, clock, HEADER + "u1,+12025550101,NL,no\nu2,+12025550102,NL,\ngone,+12025550104,NL,yes\n")
    with database.transaction() as session:
        privacy.erase(session, clock, actor="dpo", user_id="gone", secret=SECRET)
    return database


def test_a_dry_run_rejects_what_the_import_rejects_and_writes_nothing(
    peopled: Database, clock: SteppedClock
) -> None:
    before = counts(peopled)
    found = rehearse(peopled, clock, FILE)
    assert counts(peopled) == before
    with peopled.snapshot() as session:
        assert users.find(session, user_id="u1").attributes == {"country": "NL"}
    outcome, rejects = run(peopled, clock, FILE)
    assert found.summary == outcome.summary
    assert (found.summary.rows, found.summary.rejected) == (8, 5)
    told = [(str(item.line), item.field, item.reason) for item in found.rejects]
    assert told == [(row["line"], row["field"], row["reason"]) for row in rejects]
    assert [line for line, _, _ in told] == ["3", "5", "6", "7", "8"]
    assert found.quality["findings"] == outcome.quality["findings"]
    assert counts(peopled)["users"] == before["users"] + 1


def test_the_first_rows_are_told_as_they_would_end(peopled: Database, clock: SteppedClock) -> None:
    found = rehearse(peopled, clock, FILE)
    assert [getattr(row, "reason", None) for row in found.rows] == [
        None,
        "belongs to user 'u2' already",
        None,
        "belongs to user 'a' already",
        "belongs to somebody who was erased",
    ]


def test_parts_are_rehearsed_by_themselves(peopled: Database, clock: SteppedClock) -> None:
    """What a part was given is taken back before the next, so only the phone within the file is missed."""
    before = counts(peopled)
    found = rehearse(peopled, clock, FILE, together=1, batch=1)
    assert [item.line for item in found.rejects] == [3, 6, 7, 8]
    assert (found.summary.rows, found.summary.merged_duplicates) == (8, 1)
    assert found.quality["duplicates"] == {"users": 1, "phones": 1}
    assert counts(peopled) == before


def test_the_first_rejected_rows_are_kept_and_all_are_counted(
    database: Database, clock: SteppedClock
) -> None:
    data = HEADER + "".join(f"u{number},12,NL,\n" for number in range(30))
    found = rehearse(database, clock, data, together=4)
    assert (found.summary.rejected, len(found.rejects)) == (30, SHOWN_REJECTS)
    assert [item.line for item in found.rejects] == list(range(2, 2 + SHOWN_REJECTS))


def test_a_dry_run_of_too_many_rows_says_so(database: Database, clock: SteppedClock) -> None:
    data = HEADER + "u1,,,\nu2,,,\nu3,,,\n"
    assert rehearse(database, clock, data, max_rows=3).summary.created == 3
    before = counts(database)
    with pytest.raises(TooLarge, match="more than 2 rows"):
        rehearse(database, clock, data, max_rows=2)
    assert counts(database) == before


def test_a_preview_is_compared_with_the_last_import_of_its_source(
    database: Database, clock: SteppedClock
) -> None:
    many = "user_id,country\n" + "".join(f"u{i},NL\n" for i in range(300))
    run(database, clock, many, source="crm", batch=100)
    data = many.replace("NL", "BR").replace("country\n", "country,phone\n").replace("BR\n", "BR,\n")
    found = rehearse(database, clock, data + "u1,BR,x\nu1,BR,\n", source="crm", batch=100)
    assert found.quality["duplicates"]["users"] == 1
    assert {item["topic"] for item in found.quality["findings"]} >= {"drift", "validity", "duplicates"}
    with database.snapshot() as session:
        assert {user.attributes["country"] for user in session.exec(select(User)).all()} == {"NL"}
