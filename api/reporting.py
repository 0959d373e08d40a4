"""A stored report in the form that somebody asked for; one way for HTTP and the command line."""

from typing import Any

from analysis.facts.engines import FactsEngine
from analysis.reports import history
from analysis.reports.models import StoredReport
from analysis.reports.report_csv import render_csv
from analysis.reports.report_html import render_html
from analysis.reports.segment_reports import segment_report
from experiments.database import Database


def page_of(
    database: Database, report: StoredReport, *, by: str | None = None, facts: FactsEngine | None = None
) -> str:
    """The report as a page, with what the looks before it said, and with its slices where they are asked for."""
    with database.snapshot() as session:
        looks = history.looks_for_picture(session, experiment_id=report.experiment_id, until=report.as_of)
    return render_html(history.exported(report), looks=looks, segments=_slices(database, report, by, facts))


def table_of(
    database: Database, report: StoredReport, *, by: str | None = None, facts: FactsEngine | None = None
) -> str:
    """The report as a table, with its slices where they are asked for."""
    return render_csv(report.body, segments=_slices(database, report, by, facts))


def _slices(
    database: Database, report: StoredReport, by: str | None, facts: FactsEngine | None
) -> dict[str, Any] | None:
    return None if by is None else segment_report(database, report, by=by, facts=facts).to_json()
