"""One import: how far it is while it runs, then its counts, the rows that were not taken, and the quality of its data."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit

from dashboard import access, formats, quality_charts
from dashboard.client import ApiError, Client
from dashboard.documents import ImportRun, Quality, QualityColumn
from dashboard.formats import NBSP
from dashboard.texts import say, told
from dashboard.views import states

COUNTS: Final = ("rows", "created", "updated", "unchanged", "merged_duplicates", "rejected")
POLLED_EVERY: Final = "1s"
SHOWN_REJECTS: Final = 20


def show(client: Client, run_id: int) -> None:
    streamlit.page_link(
        "views/data_quality.py", label=say("import_quality.all"), icon=":material/arrow_back:"
    )
    found = states.fetched(f"import:{run_id}", lambda: client.import_run(run_id))
    if found is None:
        return
    run, quality = found
    streamlit.header(formats.plain(run.source), anchor=False)
    words = say(
        "import_quality.by",
        when=formats.plain(formats.moment(run.started_at)),
        who=formats.plain(run.actor),
    )
    streamlit.markdown(f"{states.light_of_import(run)}{NBSP}{NBSP} {words}")
    if run.finished_at is None:
        _watch(run_id)
        return
    if run.error:
        streamlit.error(
            say("import_quality.ended_early", reason=formats.plain(run.error)), icon=":material/error:"
        )
    _show_counts(run)
    if quality is not None:
        _show_topics(quality)
        if quality.columns:
            _show_columns(quality.columns)
    _show_rejects(run)
    if access.required().may_write:
        streamlit.page_link(
            "views/import_quality.py", label=say("import_quality.another"), icon=":material/upload_file:"
        )


def expect(run_id: int, rows: int | None) -> None:
    """About how many rows this import has, as far as this tab knows."""
    streamlit.session_state[f"import_rows:{run_id}"] = rows


@streamlit.fragment(run_every=POLLED_EVERY)
def _watch(run_id: int) -> None:
    """How far the import is; asked again every second, until it has ended."""
    try:
        run, _ = access.required().client.import_run(run_id)
    except ApiError as error:
        states.leave_if_refused(error)
        # Asked again by itself in a second: nothing to press.
        streamlit.warning(formats.plain(str(error)), icon=":material/cloud_off:")
        return
    if run.finished_at is not None:
        streamlit.rerun()
    rows = run.counts.get("rows", 0)
    expected = streamlit.session_state.get(f"import_rows:{run_id}")
    if isinstance(expected, int) and expected > 0:
        # The number of lines is about the number of rows: never all of them before the end is told.
        words = say("import_quality.done_of", done=formats.count(rows), rows=formats.count(expected))
        streamlit.progress(min(rows / expected, 0.99), text=words)
    else:
        streamlit.info(
            say("import_quality.done", done=formats.count(rows)), icon=":material/hourglass_empty:"
        )
    streamlit.caption(say("import_quality.running"))


def _show_counts(run: ImportRun) -> None:
    if not run.counts:
        return
    for place, name in zip(streamlit.columns(len(COUNTS)), COUNTS, strict=True):
        place.metric(
            say(f"import_quality.count.{name}"),
            formats.count(run.counts.get(name)),
            help=say(f"import_quality.count_help.{name}"),
        )
    show_consents(run.counts)


def show_consents(counts: Mapping[str, int]) -> None:
    """How many consents came and went, in a sentence."""
    streamlit.markdown(
        say(
            "import_quality.consents",
            granted=formats.count(counts.get("consents_granted", 0)),
            withdrawn=formats.count(counts.get("consents_withdrawn", 0)),
            kept=formats.count(counts.get("consents_kept_withdrawn", 0)),
        )
    )


def _show_topics(quality: Quality) -> None:
    streamlit.subheader(say("import_quality.in_short"), anchor=False)
    show_lights(quality)
    if len(quality.findings) > 1:
        with streamlit.expander(say("import_quality.findings", number=len(quality.findings))):
            lines = [
                f"- {states.quality_light(finding.light)}{NBSP}{NBSP} {formats.plain(finding.sentence)}"
                for finding in quality.findings
            ]
            streamlit.markdown("\n".join(lines))


def show_lights(quality: Quality) -> None:
    """One line a topic."""
    rows = [
        {
            say("import_quality.light"): states.quality_light(topic.light),
            say("import_quality.topic"): formats.plain(told("import_quality.topics", topic.name)),
            say("import_quality.words"): formats.plain(topic.sentence),
        }
        for topic in quality.topics
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("import_quality.topics_alt"))


def _show_columns(columns: tuple[QualityColumn, ...]) -> None:
    streamlit.subheader(say("import_quality.columns"), anchor=False)
    chart = quality_charts.completeness(columns)
    if chart is not None:
        streamlit.altair_chart(chart, width="stretch", alt=say("import_quality.chart_alt"))
        streamlit.caption(say("import_quality.colours"))
        if len(columns) > quality_charts.MOST:
            streamlit.caption(say("import_quality.first_columns", number=quality_charts.MOST))
    streamlit.table(
        [_column_row(column) for column in columns],
        border="horizontal",
        hide_index=True,
        alt=say("import_quality.columns_alt"),
    )


def _column_row(column: QualityColumn) -> dict[str, str]:
    distinct = formats.count(column.distinct)
    exact = column.exact or column.distinct is None
    row = {
        "name": column.name,
        "becomes": column.becomes or say("import_quality.not_read"),
        "filled": quality_charts.filled(column.share),
        "wrong": formats.count(column.invalid),
        "different": distinct if exact else say("import_quality.about", number=distinct),
        "kind": ", ".join(
            told("import_quality.value_kind", kind)
            for kind in sorted(column.kinds, key=lambda kind: -column.kinds[kind])
        )
        or formats.UNKNOWN,
        "spread": _spread(column),
    }
    shown = {say(f"import_quality.column.{name}"): formats.plain(value) for name, value in row.items()}
    return {say("import_quality.light"): states.quality_light(column.light), **shown}


def _spread(column: QualityColumn) -> str:
    found = [column.numbers.get(name) for name in ("p50", "p05", "p95")]
    if None in found:
        return formats.UNKNOWN
    middle, low, high = (f"{value:,.4g}".replace("-", formats.MINUS) for value in found if value is not None)
    return say("import_quality.spread", middle=middle, low=low, high=high)


def _show_rejects(run: ImportRun) -> None:
    if not run.rejects:
        return
    streamlit.subheader(say("import_quality.rejects.title"), anchor=False)
    show_rejects(run.rejects[:SHOWN_REJECTS])
    rejected = run.counts.get("rejected", 0)
    if rejected > SHOWN_REJECTS:
        words = say("import_quality.rejects.first", shown=SHOWN_REJECTS, rejected=formats.count(rejected))
        streamlit.caption(words)
    kept = len(run.rejects)
    streamlit.download_button(
        say("import_quality.rejects.download"),
        rejects_file(run.rejects),
        file_name=f"rejected-{run.id}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    if rejected > kept:
        streamlit.caption(say("import_quality.rejects.kept", kept=formats.count(kept)))


def show_rejects(rejects: Sequence[Mapping[str, Any]]) -> None:
    """Rows that are not taken, with line, field and reason."""
    rows = [
        {
            say("import_quality.rejects.line"): formats.plain(str(reject.get("line", ""))),
            say("import_quality.rejects.field"): formats.plain(
                str(reject.get("field") or say("import_quality.rejects.row"))
            ),
            say("import_quality.rejects.reason"): formats.plain(str(reject.get("reason", ""))),
        }
        for reject in rejects
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("import_quality.rejects.title"))


def rejects_file(rejects: Sequence[Mapping[str, Any]]) -> bytes:
    """Line, field and reason of rejected rows as CSV, safe to open in a spreadsheet."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(("line", "field", "reason"))
    for reject in rejects:
        writer.writerow([_cell(reject.get(name)) for name in ("line", "field", "reason")])
    return sink.getvalue().encode()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    # A cell that begins so would be run as a formula.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
