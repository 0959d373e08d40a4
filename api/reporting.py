"""A stored report in the form that somebody asked for; one way for HTTP and the command line."""

from collections.abc import Callable
from typing import Any

from analysis.facts.engines import FactsEngine
from analysis.reports import history
from analysis.reports.models import StoredReport
from analysis.reports.report_csv import render_csv
from analysis.reports.report_html import render_html
from analysis.reports.segment_findings import SegmentReport
from analysis.reports.segment_reports import segment_report
from api.masking import without_numbers
from experiments.database import Database
from experiments.errors import Refused


def page_of(
    database: Database,
    report: StoredReport,
    *,
    by: str | None = None,
    facts: FactsEngine | None = None,
    sees_numbers: bool = True,
) -> str:
    """The report as a page, with what the looks before it said, and with its slices where they are asked for."""
    with database.snapshot() as session:
        looks = history.looks_for_picture(session, experiment_id=report.experiment_id, until=report.as_of)
    slices = by and slices_of(database, report, by=by, facts=facts, sees_numbers=sees_numbers)
    return render_html(history.exported(report), looks=looks, segments=slices or None)


def table_of(
    database: Database,
    report: StoredReport,
    *,
    by: str | None = None,
    facts: FactsEngine | None = None,
    sees_numbers: bool = True,
) -> str:
    """The report as a table, with its slices where they are asked for."""
    slices = by and slices_of(database, report, by=by, facts=facts, sees_numbers=sees_numbers)
    return render_csv(report.body, segments=slices or None)


def slices_of(
    database: Database,
    report: StoredReport,
    *,
    by: str,
    facts: FactsEngine | None,
    sees_numbers: bool,
    ask: Callable[..., SegmentReport] = segment_report,
) -> dict[str, Any]:
    """The slices of a report as JSON; raises as `segment_report` does, and Refused for phone numbers that are not to be seen.

    ask: `segment_report`, or what remembers its answers.
    """
    found = ask(database, report, by=by, facts=facts).to_json()
    if not sees_numbers and any(without_numbers(name, called=by) != name for name in found["slices"]):
        raise Refused(
            f"the values of {by!r} hold phone numbers, which are not shown to whoever may only read; slice by another attribute",
            field="by",
        )
    return found
