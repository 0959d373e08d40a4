"""Files of users, on both databases: what is counted, what stays, what a second run does."""

import csv
import io
from typing import Any

import pytest
from sqlmodel import func, select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, NotFound, TooLarge
from targeting import consent, users
from targeting.imports.importing import ImportOptions, import_users
from targeting.imports.mapping import ImportMapping
from targeting.imports.storing import ImportSummary
from targeting.models import ConsentRecord, User
from targeting.user_repository import ledger_of

HEADER = "user_id,phone,country,orders,consent_marketing\n"


def run(
    database: Database, clock: SteppedClock, data: str | bytes, **options: Any
) -> tuple[ImportSummary, list[dict[str, str]]]:
    rejects = io.StringIO()
    outcome = import_users(
        database,
        clock,
        io.BytesIO(data.encode() if isinstance(data, str) else data),
        actor="ann",
        options=ImportOptions(**({"format": "csv", "file_name": "people.csv"} | options)),
        rejects=rejects,
    )
    summary = outcome.summary
    found = list(csv.DictReader(io.StringIO(rejects.getvalue())))
    assert summary.rejected == len(found)
    counted = (
        summary.created + summary.updated + summary.unchanged + summary.merged_duplicates + summary.rejected
    )
    assert summary.rows == counted
    return summary, found


def user(database: Database, user_id: str) -> User:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id)


def agreed(database: Database, user_id: str) -> dict[str, bool]:
    pk = user(database, user_id).id
    assert pk is not None
    with database.snapshot() as session:
        return {row.category: row.granted for row in consent.consents_of(session, user_pk=pk)}


def count(database: Database, table: type) -> int:
    with database.snapshot() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def test_a_file_becomes_users_and_a_second_run_changes_nothing(
    database: Database, clock: SteppedClock
) -> None:
    data = HEADER + "u1,+1 202 555 0123,NL,3,yes\nu2,,BR,,no\nu3,+12025550124,,0,\n"
    first, rejects = run(database, clock, data)
    assert first == ImportSummary(rows=3, created=3, consents_granted=1, consents_withdrawn=1)
    assert rejects == []
    one = user(database, "u1")
    assert (one.phone, one.attributes, one.last_seen_at) == (
        "+12025550123",
        {"country": "NL", "orders": 3},
        None,
    )
    assert [agreed(database, name) for name in ("u1", "u2", "u3")] == [
        {"marketing": True},
        {"marketing": False},
        {},
    ]
    assert one.id is not None
    with database.snapshot() as session:
        [record] = ledger_of(session, one.id)
    assert (record.source, record.evidence) == ("import", "import people.csv line 2")
    again, _ = run(database, clock, data)
    assert again == ImportSummary(rows=3, unchanged=3)
    assert count(database, ConsentRecord) == 2


def test_bad_rows_are_told_and_the_rest_lands(database: Database, clock: SteppedClock) -> None:
    data = HEADER + "u1,12,NL,3,yes\nu2,,BR,1,\n,+12025550124,,0,\n=cmd(),,,,maybe\n"
    summary, rejects = run(database, clock, data)
    assert (summary.created, summary.rejected) == (1, 3)
    assert [(row["line"], row["field"]) for row in rejects] == [
        ("2", "phone"),
        ("4", "user_id"),
        ("5", "consent_marketing"),
    ]
    assert rejects[0]["reason"].startswith("has no country code")
    assert rejects[0]["row"] == "u1,12,NL,3,yes"
    assert rejects[2]["row"].startswith("'=cmd()")
    with pytest.raises(NotFound):
        user(database, "u1")


def test_a_changed_row_updates_and_an_empty_cell_erases_nothing(
    database: Database, clock: SteppedClock
) -> None:
    run(database, clock, HEADER + "u1,+12025550123,NL,3,yes\nu2,,BR,1,\n")
    summary, _ = run(database, clock, HEADER + "u1,,,4,\nu2,,BR,1,\n")
    assert summary == ImportSummary(rows=2, updated=1, unchanged=1)
    one = user(database, "u1")
    assert (one.phone, one.attributes) == ("+12025550123", {"country": "NL", "orders": 4})


@pytest.mark.parametrize("batch", [1, 2, 2000])
def test_duplicates_merge_wherever_the_batches_end(
    database: Database, clock: SteppedClock, batch: int
) -> None:
    data = HEADER + "u1,+12025550123,NL,3,yes\nu2,,BR,1,\nu1,,FR,,\nu1,,,5,yes\n"
    summary, _ = run(database, clock, data, batch=batch)
    assert summary == ImportSummary(rows=4, created=2, merged_duplicates=2, consents_granted=1)
    one = user(database, "u1")
    assert (one.phone, one.attributes) == ("+12025550123", {"country": "FR", "orders": 5})


@pytest.mark.parametrize("batch", [1, 2000])
def test_a_no_outweighs_a_yes_wherever_it_stands(database: Database, clock: SteppedClock, batch: int) -> None:
    data = HEADER + "u1,,,,yes\nu1,,,,no\nu2,,,,no\nu2,,,,yes\n"
    summary, _ = run(database, clock, data, batch=batch)
    assert (summary.consents_granted, summary.consents_withdrawn, summary.consents_kept_withdrawn) == (
        1,
        2,
        1,
    )
    assert agreed(database, "u1") == agreed(database, "u2") == {"marketing": False}
    records = count(database, ConsentRecord)
    again, _ = run(database, clock, data, batch=batch)
    assert (again.consents_granted, again.consents_withdrawn) == (0, 0)
    assert count(database, ConsentRecord) == records


def test_running_again_does_not_undo_an_opt_out(database: Database, clock: SteppedClock) -> None:
    data = HEADER + "u1,+12025550123,NL,3,yes\n"
    run(database, clock, data)
    pk = user(database, "u1").id
    assert pk is not None
    with database.transaction() as session:
        consent.withdraw(session, clock, user_pk=pk, category="marketing", source="whatsapp", evidence="STOP")
    summary, _ = run(database, clock, data)
    assert (summary.consents_granted, summary.consents_kept_withdrawn) == (0, 1)
    assert agreed(database, "u1") == {"marketing": False}


@pytest.mark.parametrize("batch", [1, 2000])
def test_a_phone_of_another_user_rejects_the_row(database: Database, clock: SteppedClock, batch: int) -> None:
    run(database, clock, HEADER + "old,+12025550101,,,\n")
    data = HEADER + "u1,+12025550101,,,\nu2,+12025550102,,,\nu3,+1 202 555 0102,,,\nold,+12025550101,,,\n"
    summary, rejects = run(database, clock, data, batch=batch)
    assert (summary.created, summary.unchanged, summary.rejected) == (1, 1, 2)
    assert [(row["line"], row["field"], row["reason"]) for row in rejects] == [
        ("2", "phone", "belongs to user 'old' already"),
        ("4", "phone", "belongs to user 'u2' already"),
    ]


@pytest.mark.parametrize("batch", [1, 2000])
def test_numbers_are_handed_on_in_the_order_of_the_file(
    database: Database, clock: SteppedClock, batch: int
) -> None:
    run(database, clock, HEADER + "u1,+12025550101,,,\nu2,+12025550102,,,\n")
    data = HEADER + "u1,+12025550103,,,\nu2,+12025550101,,,\na0,+12025550102,,,\n"
    summary, rejects = run(database, clock, data, batch=batch)
    assert rejects == []
    assert (summary.created, summary.updated) == (1, 2)
    assert [user(database, name).phone for name in ("u1", "u2", "a0")] == [
        "+12025550103",
        "+12025550101",
        "+12025550102",
    ]


def test_json_lines(database: Database, clock: SteppedClock) -> None:
    data = (
        '{"user_id": "u1", "phone": "+12025550123", "consent_marketing": true, "tags": ["a", {"b": 1.5}]}\n'
        "nonsense\n"
        '{"user_id": "u2", "vip": false, "name": "Zoë"}\n'
    )
    summary, rejects = run(database, clock, data, format="jsonl")
    assert summary == ImportSummary(rows=3, created=2, rejected=1, consents_granted=1)
    assert rejects[0]["line"] == "2"
    assert user(database, "u1").attributes == {"tags": ["a", {"b": 1.5}]}
    assert user(database, "u2").attributes == {"vip": False, "name": "Zoë"}
    again, _ = run(database, clock, data, format="jsonl")
    assert again == ImportSummary(rows=3, unchanged=2, rejected=1)


def test_too_many_rows_stop_at_the_bound_and_what_landed_stays(
    database: Database, clock: SteppedClock
) -> None:
    data = HEADER + "".join(f"u{n},,,,\n" for n in range(10))
    with pytest.raises(TooLarge, match="more than 7 rows; the first 7 were imported and stay"):
        run(database, clock, data, max_rows=7, batch=5)
    assert count(database, User) == 7
    summary, _ = run(database, clock, data, max_rows=10, batch=5)
    assert (summary.created, summary.unchanged) == (3, 7)
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.actor, entry.subject_key) for entry in entries] == [
        ("users.import", "ann", "people.csv")
    ] * 2
    assert [(entry.after["complete"], entry.after["rows"]) for entry in entries] == [(False, 7), (True, 10)]


def test_a_wrong_mapping_writes_nothing(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(Invalid, match="did you mean 'phone'"):
        run(database, clock, HEADER + "u1,,,,\n", mapping=ImportMapping(phone="fone"))
    assert count(database, User) == count(database, AuditEntry) == 0


def test_a_header_alone_is_an_empty_import(database: Database, clock: SteppedClock) -> None:
    assert run(database, clock, HEADER) == (ImportSummary(), [])


def test_progress_is_told_batch_by_batch(database: Database, clock: SteppedClock) -> None:
    told: list[int] = []
    import_users(
        database,
        clock,
        io.BytesIO((HEADER + "".join(f"u{n},,,,\n" for n in range(5))).encode()),
        actor="ann",
        options=ImportOptions(format="csv", batch=2),
        rejects=io.StringIO(),
        progress=told.append,
    )
    assert told == [2, 4, 5]


def test_a_profile_that_would_grow_too_big_rejects_the_row(database: Database, clock: SteppedClock) -> None:
    for name in ("a", "b"):
        summary, _ = run(database, clock, f"user_id,{name}\nu1,{'x' * 31_000}\n")
        assert summary.rejected == 0
    summary, rejects = run(database, clock, f"user_id,c\nu1,{'x' * 31_000}\nu2,y\n")
    assert (summary.created, summary.rejected) == (1, 1)
    assert rejects[0]["field"] == "attributes"
    assert sorted(user(database, "u1").attributes) == ["a", "b"]
