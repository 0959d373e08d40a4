"""What is kept of an import: its run, its quality, and the drift against the one before of the same source."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlmodel import select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, TooLarge
from targeting import users
from targeting.imports import importing as imports
from targeting.imports.importing import ImportOptions, ImportOutcome, import_users
from targeting.imports.mapping import AttributeColumn, ConsentColumns, ImportMapping
from targeting.models import ImportRun
from targeting.user_repository import ledger_of


def run(database: Database, clock: SteppedClock, data: bytes | str, **options: Any) -> ImportOutcome:
    return import_users(
        database,
        clock,
        io.BytesIO(data.encode() if isinstance(data, str) else data),
        actor="ann",
        options=ImportOptions(**({"source": "crm"} | options)),
        rejects=io.StringIO(),
    )


def runs(database: Database) -> list[ImportRun]:
    with database.snapshot() as session:
        return list(session.exec(select(ImportRun).order_by(ImportRun.id)).all())


def people(count: int, land: str = "NL") -> str:
    return "user_id,country\n" + "".join(f"u{i},{land}\n" for i in range(count))


def drift(outcome: ImportOutcome) -> list[str]:
    return [item["sentence"] for item in outcome.quality["findings"] if item["topic"] == "drift"]


def test_a_run_is_kept_with_its_counts_and_its_quality(database: Database, clock: SteppedClock) -> None:
    outcome = run(database, clock, "user_id,phone\nu1,+12025550101\nu2,hush hush\n")
    [kept] = runs(database)
    assert (kept.id, kept.source, kept.actor, kept.error) == (outcome.run_id, "crm", "ann", None)
    assert kept.finished_at == clock.now()
    assert kept.summary is not None
    assert (kept.summary["created"], kept.summary["rejected"]) == (1, 1)
    assert [(item["line"], item["field"]) for item in kept.summary["rejects"]] == [(3, "phone")]
    assert kept.quality == outcome.quality
    assert "hush" not in str((kept.summary, kept.quality))


def test_an_import_is_compared_with_the_last_good_one_of_its_source(
    database: Database, clock: SteppedClock
) -> None:
    run(database, clock, people(300))
    assert drift(run(database, clock, people(300, "BR"), source="shop")) == []
    with pytest.raises(TooLarge):
        run(database, clock, people(300, "DE"), max_rows=200)
    assert drift(run(database, clock, people(300))) == []
    changed = drift(run(database, clock, people(300, "BR")))
    assert [text.partition(" (")[0] for text in changed] == ["country is made up differently"]
    assert drift(run(database, clock, people(300, "BR"))) == []


def test_a_run_that_ends_early_says_why_and_keeps_what_it_saw(
    database: Database, clock: SteppedClock
) -> None:
    with pytest.raises(TooLarge):
        run(database, clock, people(10), max_rows=7, batch=5)
    [kept] = runs(database)
    assert kept.error == "file: the file has more than 7 rows; the first 7 were imported and stay"
    assert kept.quality is not None
    assert kept.quality["rows"] == 7


def test_a_process_that_dies_leaves_a_run_that_says_so(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "store", dying)
    with pytest.raises(KeyboardInterrupt):
        run(database, clock, people(3))
    assert [kept.error for kept in runs(database)] == ["was interrupted"]


def test_a_wrong_file_leaves_no_run(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(Invalid):
        run(database, clock, b"not parquet", format="parquet")
    assert runs(database) == []


def test_duplicates_are_those_of_the_summary(database: Database, clock: SteppedClock) -> None:
    outcome = run(database, clock, "user_id,country\nu1,NL\nu1,BR\nu2,NL\n", batch=1)
    assert outcome.quality["duplicates"] == {"users": 1, "phones": 0}


def test_parquet_becomes_users_and_again_changes_nothing(database: Database, clock: SteppedClock) -> None:
    table = pa.table(
        {
            "user_id": [1, 2],
            "phone": ["+12025550101", None],
            "seen": pa.array([0, 1], pa.timestamp("s")),
            "tags": [["a"], []],
            "consent_marketing": [True, False],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    first = run(database, clock, sink.getvalue(), format="parquet").summary
    assert (first.created, first.consents_granted, first.consents_withdrawn) == (2, 1, 1)
    with database.snapshot() as session:
        assert users.find(session, user_id="1").attributes == {"seen": "1970-01-01T00:00:00Z", "tags": ["a"]}
    again = run(database, clock, sink.getvalue(), format="parquet").summary
    assert (again.rows, again.unchanged) == (2, 2)


def test_a_consent_is_proved_by_the_columns_that_say_so(database: Database, clock: SteppedClock) -> None:
    mapping = ImportMapping(
        consent={"marketing": ConsentColumns("opt", "shop", "words", positive=("si",))},
        attributes={"spent": AttributeColumn("sum", "number", decimal=",")},
    )
    run(database, clock, 'user_id,opt,shop,words,sum\nu1,si,Delft,I agree,"1,5"\nu2,si,,,\n', mapping=mapping)
    with database.snapshot() as session:
        found = [users.find(session, user_id=name) for name in ("u1", "u2")]
        ledger = [ledger_of(session, user.id or 0)[0] for user in found]
    assert found[0].attributes == {"spent": 1.5}
    assert [(record.source, record.evidence) for record in ledger] == [
        ("Delft", "I agree (import upload line 2)"),
        ("import", "import upload line 3"),
    ]
