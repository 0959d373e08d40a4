"""Facts from exported Parquet files through DuckDB, beside the application database: the export, then the same queries on both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.facts import facts
from analysis.facts.engines import SessionFacts
from analysis.warehouse.duckdb_facts import DuckDbFolder
from analysis.warehouse.export import export_facts
from benchmarks.analysis_speed import _definitions, _fill
from benchmarks.figures import Figure, Say, alternating, benchmark, peak_megabytes, seconds
from benchmarks.stage import CLOCK, empty_database


@benchmark("warehouse")
def facts_of_many(
    say: Say, *, users: int = 50_000, events: int = 250_000, repeats: int = 3
) -> Sequence[Figure]:
    """Five metrics with CUPED: what the application database takes (SQLite), and what DuckDB takes over its export."""
    with empty_database() as (database, folder):
        _fill(database, users, events)
        say(f"{users:,} users and {events:,} events are in")
        before = peak_megabytes()
        place = Path(folder) / "facts"
        exporting = seconds(lambda: export_facts(database, CLOCK, folder=place))
        grown = peak_megabytes() - before
        say(f"exported in {exporting:.1f} s, {grown:.0f} MB more of memory")
        engine = DuckDbFolder(place)
        engine.copied()
        with database.snapshot() as session:
            definitions, now = _definitions(session), CLOCK.now()
        answers: dict[str, Any] = {}

        def gathered(name: str, source: Any) -> float:
            return seconds(
                lambda: answers.update(
                    {name: facts.gather(source, experiment_id=1, definitions=definitions, as_of=now)}
                )
            )

        def here() -> float:
            with database.snapshot() as session:
                return gathered("here", SessionFacts(session))

        there, plain, times = alternating(lambda: gathered("there", engine), here, repeats)
        engine.dispose()
        say(f"DuckDB {there:.2f} s, SQLite {plain:.2f} s")
        same = answers["here"].arms == answers["there"].arms
    return [
        Figure(
            what=f"facts over Parquet: {users:,} users, {events:,} events, 5 metrics with CUPED",
            figure=there,
            unit="s",
            yardstick=plain,
            against="the same queries in the application database (SQLite)",
            ratio=1 / times,
            note="counts " + ("agree" if same else "DIFFER"),
        ),
        Figure(
            what=f"export of the facts to Parquet: {users:,} users, {events:,} events",
            figure=(2 * users + events) / exporting,
            unit="rows/s",
            note=f"{exporting:.1f} s, {grown:.0f} MB of memory",
        ),
    ]
