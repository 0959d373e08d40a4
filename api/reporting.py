"""A stored report in the form that somebody asked for; one way for HTTP and the command line."""

from analysis.reports import history
from analysis.reports.models import StoredReport
from analysis.reports.report_html import render_html
from experiments.database import Database


def page_of(database: Database, report: StoredReport) -> str:
    """The report as a page, with what the looks before it said."""
    with database.snapshot() as session:
        looks = history.looks_for_picture(session, experiment_id=report.experiment_id, until=report.as_of)
    return render_html(history.exported(report), looks=looks)
