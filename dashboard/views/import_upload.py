"""A file of people: chosen, looked at, its columns mapped, tried, and brought in."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.calls import imports
from dashboard.calls.imports import Column, File, Rehearsal
from dashboard.client import ApiError, Client
from dashboard.texts import say, told
from dashboard.views import asking, import_fields, import_report, states
from dashboard.views.deeds import deed

LARGEST_TRIED: Final = 20_000_000
"""Bytes of a file that is tried whole; of a longer one only the beginning, since whoever tries it waits."""
SHOWN_ROWS: Final = 5
_PROBLEMS: Final = "import_problems"
_TRIED: Final = "import_tried"
_BEGUN: Final = "import:begun"


def show(client: Client) -> None:
    # Sending may have taken minutes, in which somebody pressed something else.
    if deed(_BEGUN).is_done:
        _go_to_it()
    streamlit.markdown(say("import_upload.words"))
    uploaded = streamlit.file_uploader(
        say("import_upload.file"), type=list(imports.SUFFIXES), help=say("import_upload.file_help")
    )
    if uploaded is None:
        streamlit.info(say("import_upload.consent"), icon=":material/verified_user:")
        return
    form = imports.SUFFIXES[PurePath(uploaded.name).suffix.lower().removeprefix(".")]
    file = File(uploaded.name, form, uploaded.getvalue())
    about = str(uploaded.file_id)
    columns = _looked(client, file, about)
    if columns is None:
        return
    _show_first_rows(columns)
    problems = _problems(about)
    mapping = import_fields.ask(columns, problems)
    if problems and streamlit.session_state[_PROBLEMS][2] != mapping:
        # Something was mended since: whether that was all, the next try says.
        del streamlit.session_state[_PROBLEMS]
        streamlit.rerun()
    source = streamlit.text_input(
        say("import_upload.source"),
        value=file.name,
        help=say("import_upload.source_help"),
        max_chars=200,
        key=f"source:{about}",
    )
    _show_consequence(mapping)
    _show_actions(client, file, mapping, source=source.strip() or file.name, about=about)


def _looked(client: Client, file: File, about: str) -> list[Column] | None:
    """The columns of this very file, asked for once."""
    held = streamlit.session_state.get("import_columns")
    if held is not None and held[0] == about:
        columns: list[Column] = held[1]
        return columns
    try:
        with streamlit.spinner(say("common.loading")):
            found = imports.look(client, file)
    except ApiError as error:
        states.show_error(error)
        return None
    streamlit.session_state["import_columns"] = (about, found)
    return found


def _show_first_rows(columns: list[Column]) -> None:
    streamlit.subheader(say("import_upload.first_rows"), anchor=False)
    rows = max((len(column.values) for column in columns), default=0)
    table = {column.name: list(column.values[:SHOWN_ROWS]) for column in columns}
    if rows:
        streamlit.dataframe(table, hide_index=True, width="stretch", alt=say("import_upload.first_rows"))
    else:
        streamlit.warning(say("import_upload.no_rows"), icon=":material/table_rows:")


def _problems(about: str) -> list[tuple[str, str]]:
    held = streamlit.session_state.get(_PROBLEMS)
    return list(held[1]) if held is not None and held[0] == about else []


def _show_consequence(mapping: Mapping[str, Any]) -> None:
    """Who may be messaged after this import, before it is done."""
    consent = mapping.get("consent", {})
    if not mapping.get("phone"):
        streamlit.warning(say("import_upload.no_phone"), icon=":material/phone_disabled:")
    if not consent:
        streamlit.warning(say("import_upload.nobody"), icon=":material/block:")
        return
    for category, said in consent.items():
        words = say(
            "import_upload.somebody",
            column=formats.plain(str(said["column"])),
            category=told("common.category", category),
        )
        streamlit.info(words, icon=":material/verified_user:")


def _show_actions(client: Client, file: File, mapping: Mapping[str, Any], *, source: str, about: str) -> None:
    ready = bool(mapping.get("user_id"))
    with streamlit.container(horizontal=True):
        tries = streamlit.button(say("import_upload.try"), icon=":material/science:", disabled=not ready)
        asks = streamlit.button(
            say("import_upload.begin"), type="primary", icon=":material/upload:", disabled=not ready
        )
    if not ready:
        streamlit.caption(say("import_upload.no_user_id"))
        return
    if tries:
        _try(client, file, mapping, source=source, about=about)
    question = f"import:{about}"
    if asks:
        asking.ask(question)
    tried = _tried(about, mapping)
    # Right below the button: below what a try tells, it would be out of sight.
    if asking.is_asked(question) and _confirmed(file, mapping, question, tried):
        _begin(client, file, mapping, source=source, about=about)
    if tried is not None:
        _show_rehearsal(tried)
    elif streamlit.session_state.get(_TRIED, ("",))[0] == about:
        streamlit.caption(say("import_upload.changed"))


def _confirmed(file: File, mapping: Mapping[str, Any], question: str, tried: Rehearsal | None) -> bool:
    lines = file.lines
    rows = (
        say("import_upload.all_rows")
        if lines is None
        else say("import_upload.rows", number=formats.count(lines))
    )
    consent = ", ".join(told("common.category", name) for name in mapping.get("consent", {}))
    agree = say("import_upload.agree", categories=consent) if consent else say("import_upload.agree_none")
    words = say("import_upload.question", rows=rows, file=formats.plain(file.name), agree=agree)
    if tried is not None and tried.whole:
        counts = {name: tried.counts.get(name, 0) for name in ("rows", "rejected")}
        passed = formats.count(counts["rows"] - counts["rejected"])
        words += " " + say(
            "import_upload.passed", passed=passed, **{name: formats.count(n) for name, n in counts.items()}
        )
    agreed = asking.agreed(question, words, yes=say("import_upload.yes"))
    if agreed:
        deed(question).forget()
    return agreed


def _begin(client: Client, file: File, mapping: Mapping[str, Any], *, source: str, about: str) -> None:
    begun = deed(_BEGUN)
    with streamlit.spinner(say("import_upload.sending")):
        begun.do(lambda: (imports.begin(client, file, mapping, source=source), file.lines))
    if begun.refusal is not None:
        _refused(begun.refusal, about, mapping)
        return
    _go_to_it()


def _go_to_it() -> None:
    """To the import that was begun. The address names it, so that nothing is lost on a reload."""
    begun = deed(_BEGUN)
    number, lines = begun.answer
    import_report.expect(number, lines)
    for name in (_PROBLEMS, _TRIED, "import_columns"):
        streamlit.session_state.pop(name, None)
    streamlit.query_params.from_dict({"import": str(number)})
    begun.forget()
    streamlit.rerun()


def _try(client: Client, file: File, mapping: Mapping[str, Any], *, source: str, about: str) -> None:
    try:
        with streamlit.spinner(say("import_upload.trying")):
            whole = len(file.content) <= LARGEST_TRIED
            found = imports.rehearse(client, file, mapping, source=source, whole=whole)
    except ApiError as error:
        _refused(error, about, mapping)
        return
    streamlit.session_state[_TRIED] = (about, dict(mapping), found)


def _refused(error: ApiError, about: str, mapping: Mapping[str, Any]) -> None:
    """What belongs to a field is told there, on the next run; the rest here."""
    states.leave_if_refused(error)
    mapped = [problem for problem in error.problems if problem[0].startswith("mapping.")]
    streamlit.session_state[_PROBLEMS] = (about, mapped, dict(mapping))
    streamlit.session_state.pop(_TRIED, None)
    if mapped:
        streamlit.rerun()
    streamlit.error(formats.plain(states.refusal_words(error)), icon=":material/block:")


def _tried(about: str, mapping: Mapping[str, Any]) -> Rehearsal | None:
    """What the last try of this very file said, with the columns as they are mapped now."""
    held = streamlit.session_state.get(_TRIED)
    if held is None or held[0] != about or held[1] != mapping:
        return None
    found: Rehearsal = held[2]
    return found


def _show_rehearsal(found: Rehearsal) -> None:
    with streamlit.container(border=True):
        words = "import_upload.tried" if found.whole else "import_upload.tried_head"
        streamlit.subheader(say("import_upload.outcome"), anchor=False)
        streamlit.markdown(
            say(
                words,
                **{
                    name: formats.count(found.counts.get(name, 0))
                    for name in ("rows", "created", "updated", "unchanged", "merged_duplicates", "rejected")
                },
            )
        )
        import_report.show_consents(found.counts)
        rows = [_row(row) for row in found.rows]
        if rows:
            streamlit.table(rows, border="horizontal", hide_index=True, alt=say("import_upload.become"))
        if found.rejects:
            streamlit.markdown(f"**{say('import_quality.rejects.title')}**")
            import_report.show_rejects(found.rejects)
        if found.quality is not None:
            import_report.show_lights(found.quality)


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    """What a row would become, in words."""
    if "rejected" in row:
        became = say("import_upload.not_taken", field=row.get("field") or "", reason=row["rejected"])
        return {
            say("import_quality.rejects.line"): str(row.get("line", "")),
            say("users.column.user"): formats.UNKNOWN,
            say("import_upload.become"): formats.plain(became),
        }
    parts = [f"{name}: {row[name]}" for name in ("phone", "time_zone", "locale") if name in row]
    parts += [
        say("users.agreed" if granted else "users.refused", category=told("common.category", name))
        for name, granted in dict(row.get("consents", {})).items()
    ]
    parts += [f"{name} = {value}" for name, value in dict(row.get("attributes", {})).items()]
    return {
        say("import_quality.rejects.line"): str(row.get("line", "")),
        say("users.column.user"): formats.plain(str(row.get("user_id", ""))),
        say("import_upload.become"): formats.plain("; ".join(parts)) or formats.UNKNOWN,
    }
