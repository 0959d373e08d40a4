"""The quality of one import, column by column. Its address can be bookmarked."""

from typing import Final

import streamlit

from dashboard import access, formats, quality_charts
from dashboard.client import ApiError, Client
from dashboard.documents import ImportRun, Quality, QualityColumn
from dashboard.formats import NBSP
from dashboard.views import states

COUNTS: Final = ("rows", "created", "updated", "unchanged", "merged_duplicates", "rejected")


def show() -> None:
    client = access.required().client
    chosen = streamlit.query_params.get("import", "")
    if not chosen.isascii() or not chosen.isdigit() or len(chosen) > 18:
        streamlit.info(
            "Choose an import from the list under Data quality to see what its data is like.",
            icon=":material/fact_check:",
        )
        return
    _show_one(client, int(chosen))


def _show_one(client: Client, run_id: int) -> None:
    streamlit.page_link("views/data_quality.py", label="All imports", icon=":material/arrow_back:")
    try:
        with streamlit.spinner("Loading the import .."):
            run, quality = client.import_run(run_id)
    except ApiError as error:
        states.show_error(error)
        return
    streamlit.header(formats.plain(run.source), anchor=False)
    streamlit.markdown(
        f"{states.light_of_import(run)}{NBSP}{NBSP} imported {formats.plain(formats.moment(run.started_at))} by {formats.plain(run.actor)}"
    )
    if run.error:
        streamlit.error(f"It ended early: {formats.plain(run.error)}", icon=":material/error:")
    elif run.finished_at is None:
        streamlit.info(
            "It is still running, or its process was stopped. What it brought so far stays.",
            icon=":material/hourglass_empty:",
        )
    if run.counts:
        for place, name in zip(streamlit.columns(len(COUNTS)), COUNTS, strict=True):
            place.metric(name.replace("_", " ").capitalize(), formats.count(run.counts.get(name)))
    if quality is None:
        return
    _show_topics(quality)
    if quality.columns:
        _show_columns(quality.columns)
    _show_rejects(run)


def _show_topics(quality: Quality) -> None:
    streamlit.subheader("In short", anchor=False)
    rows = [
        {
            "": states.quality_light(topic.light),
            "Topic": formats.plain(topic.name.capitalize()),
            "In words": formats.plain(topic.sentence),
        }
        for topic in quality.topics
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt="Quality by topic")
    if len(quality.findings) > 1:
        with streamlit.expander(f"All {len(quality.findings)} findings"):
            lines = [
                f"- {states.quality_light(finding.light)}{NBSP}{NBSP} {formats.plain(finding.sentence)}"
                for finding in quality.findings
            ]
            streamlit.markdown("\n".join(lines))


def _show_columns(columns: tuple[QualityColumn, ...]) -> None:
    streamlit.subheader("Columns", anchor=False)
    chart = quality_charts.completeness(columns)
    if chart is not None:
        streamlit.altair_chart(
            chart, width="stretch", alt="Share of filled rows by column; the table below says the same"
        )
        first = f" The first {quality_charts.MOST} columns." if len(columns) > quality_charts.MOST else ""
        streamlit.caption(f"Blue: nothing to say about the column; orange: look; red: bad.{first}")
    streamlit.table(
        [_column_row(column) for column in columns],
        border="horizontal",
        hide_index=True,
        alt="Columns of the import",
    )


def _column_row(column: QualityColumn) -> dict[str, str]:
    distinct = formats.count(column.distinct)
    row = {
        "Column": column.name,
        "Becomes": column.becomes or "not read",
        "Filled": quality_charts.filled(column.share),
        "Wrong": formats.count(column.invalid),
        "Different": distinct if column.exact or column.distinct is None else f"about {distinct}",
        "Kind": ", ".join(sorted(column.kinds, key=lambda kind: -column.kinds[kind])) or formats.UNKNOWN,
        "Median (5% to 95%)": _spread(column),
    }
    shown = {formats.plain(name): formats.plain(value) for name, value in row.items()}
    return {"": states.quality_light(column.light), **shown}


def _spread(column: QualityColumn) -> str:
    found = [column.numbers.get(name) for name in ("p50", "p05", "p95")]
    if None in found:
        return formats.UNKNOWN
    middle, low, high = (f"{value:,.4g}".replace("-", formats.MINUS) for value in found if value is not None)
    return f"{middle} ({low} to {high})"


def _show_rejects(run: ImportRun) -> None:
    if not run.rejects:
        return
    streamlit.subheader("Rejected rows", anchor=False)
    rows = [
        {
            "Line": formats.plain(str(reject.get("line", ""))),
            "Field": formats.plain(str(reject.get("field") or "the row")),
            "Reason": formats.plain(str(reject.get("reason", ""))),
        }
        for reject in run.rejects
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt="The first rejected rows")
    rejected = run.counts.get("rejected", 0)
    if rejected > len(rows):
        streamlit.caption(f"The first {len(rows)} of {formats.count(rejected)}.")


if __name__ == "__main__":
    show()
