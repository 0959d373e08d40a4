"""Build a condition: in rows, in words or as JSON; read it in English; see at once how many users it means, and who.

`show` is used wherever a condition is asked for. What rows cannot say stays in the condition as a row of words.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import condition_rows, formats
from dashboard.calls import conditions
from dashboard.client import ApiError, Client
from dashboard.condition_form import Form, Item, same
from dashboard.condition_rows import Compared, Did, Group, Kept, Member, Placed, Row
from dashboard.texts import say
from dashboard.views import condition_rows_form, condition_words, states
from dashboard.views.condition_rows_form import Offer
from dashboard.views.remembering import remembered

MODES: Final = ("rows", "words", "json")
NEW_ROWS: Final[Mapping[str, Callable[[], Row]]] = {
    "attribute": Compared,
    "behaviour": Did,
    "segment": Member,
    "words": Kept,
}


def show(client: Client, key: str, start: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The condition that the form says; None while something is missing or wrong, which the form then tells.

    `key` names the form: another form on the same page, or another thing to edit, has another. `start` is the condition
    to begin with; None begins with none, which means everyone. What nobody has changed comes back exactly as it was.
    """
    form = _form(key, start)
    mode = (
        streamlit.segmented_control(
            say("condition_builder.mode.label"),
            MODES,
            default=MODES[0],
            format_func=lambda name: say(f"condition_builder.mode.{name}"),
            help=say("condition_builder.mode.help"),
            key=f"{key}:mode",
        )
        or MODES[0]
    )
    if mode == "rows":
        return _from_rows(client, key, form)
    edit = condition_words.edit_text if mode == "words" else condition_words.edit_json
    document = edit(client, f"{key}:{form.born}:{mode}", form.document)
    if document is None or not _show_meaning(client, key, document, None, {}):
        return None
    if not same(document, form.document):
        form.load(document)
    return document


def forget(key: str) -> None:
    """Let the next form of this name begin anew."""
    streamlit.session_state.pop(f"{key}:form", None)
    streamlit.session_state.pop(f"{key}:mode", None)


def _form(key: str, start: Mapping[str, Any] | None) -> Form:
    held = streamlit.session_state.get(f"{key}:form")
    if isinstance(held, Form) and any(same(start, known) for known in (held.start, held.document)):
        return held
    form = Form(start=start, document=start or {}, born=_next_form())
    form.load(start or {})
    streamlit.session_state[f"{key}:form"] = form
    return form


def _next_form() -> int:
    # Counted over all forms of a session: the widgets of one that is forgotten do not come back in the next.
    born = int(streamlit.session_state.get("condition_builder:forms", 0)) + 1
    streamlit.session_state["condition_builder:forms"] = born
    return born


def offered(client: Client) -> Offer:
    """What may be asked about, heard at most a minute ago."""

    def heard() -> Offer:
        return Offer(
            {found.name: found for found in conditions.attributes(client)},
            tuple(conditions.event_names(client)),
            conditions.segment_names(client),
        )

    return remembered("condition_builder:offer", "", heard)


def _from_rows(client: Client, key: str, form: Form) -> Mapping[str, Any] | None:
    try:
        offer = offered(client)
    except ApiError as error:
        states.show_error(error)
        return None
    base = f"{key}:{form.born}:{form.generation}"
    any_of = streamlit.radio(
        say("condition_builder.join.label"),
        (False, True),
        index=int(form.any_of),
        format_func=lambda some: say("condition_builder.join.any" if some else "condition_builder.join.all"),
        help=say("condition_builder.join.help"),
        horizontal=True,
        key=f"{base}:join",
    )
    form.any_of = any_of
    notes: dict[tuple[int, ...], Any] = {}
    for at, item in enumerate(list(form.items)):
        if item.row is not None:
            _show_row(client, base, item, offer, notes, (at,), partial(form.items.remove, item))
        else:
            _show_group(client, base, form, item, offer, notes, at)
    if not form.items:
        streamlit.caption(say("condition_builder.everyone"))
    _show_adding(base, form, form.items, with_group=True)
    missing = form.incomplete()
    for place in missing:
        notes[place].caption(f":orange[{say('condition_builder.incomplete')}]")
    if missing:
        return None
    placed = condition_rows.placed(form.rows())
    # What nobody has changed is not even put into another order.
    document = form.loaded if same(placed.document, form.seed) else placed.document
    if not _show_meaning(client, key, document, placed, notes):
        return None
    form.document = document
    return document


def _show_group(
    client: Client, base: str, form: Form, item: Item, offer: Offer, notes: dict[Any, Any], at: int
) -> None:
    with streamlit.container(border=True):
        head = "condition_builder.group.all" if form.any_of else "condition_builder.group.any"
        streamlit.markdown(f"**{say(head)}**")
        for index, inner in enumerate(list(item.rows)):
            _show_row(client, base, inner, offer, notes, (at, index), partial(item.rows.remove, inner))
        _show_adding(f"{base}:{item.id}", form, item.rows, with_group=False)
        streamlit.button(
            say("condition_builder.remove_group"),
            icon=":material/delete:",
            type="tertiary",
            key=f"{base}:{item.id}:remove",
            on_click=partial(form.items.remove, item),
        )


def _show_row(
    client: Client,
    base: str,
    item: Item,
    offer: Offer,
    notes: dict[Any, Any],
    place: tuple[int, ...],
    remove: Callable[[], None],
) -> None:
    key, row = f"{base}:{item.id}", item.row
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        if isinstance(row, Compared):
            item.row = condition_rows_form.attribute(key, row, offer)
        elif isinstance(row, Did):
            item.row = condition_rows_form.behaviour(key, row, offer)
        elif isinstance(row, Member):
            item.row = condition_rows_form.segment(key, row, offer)
        elif row is not None:
            item.row = condition_words.part(client, key, row)
        streamlit.button(
            say("condition_builder.remove"),
            icon=":material/close:",
            type="tertiary",
            key=f"{key}:remove",
            on_click=remove,
        )
    notes[place] = streamlit.container()


def _show_adding(base: str, form: Form, items: list[Item], *, with_group: bool) -> None:
    def add(make: Callable[[], Row | Group]) -> None:
        items.append(form.item(make()))

    with streamlit.container(horizontal=True):
        for name, make in NEW_ROWS.items():
            streamlit.button(
                say(f"condition_builder.add.{name}"),
                icon=":material/add:",
                key=f"{base}:add:{name}",
                on_click=partial(add, make),
            )
        if with_group:
            streamlit.button(
                say("condition_builder.add.group"),
                icon=":material/add_box:",
                key=f"{base}:add:group",
                on_click=partial(add, lambda: Group((Compared(),))),
            )


def _show_meaning(
    client: Client,
    key: str,
    document: Mapping[str, Any] | None,
    placed: Placed | None,
    notes: Mapping[tuple[int, ...], Any],
) -> bool:
    """The condition in English, how many users it means, and some of them. False when the API refuses the condition."""
    if document is None:
        return False
    about = json.dumps(document, sort_keys=True)
    try:
        reading = remembered(f"{key}:reading", about, lambda: conditions.read(client, condition=document))
        preview = remembered(f"{key}:preview", about, lambda: conditions.preview(client, document))
    except ApiError as error:
        states.leave_if_refused(error)
        _show_problems(error, placed, notes)
        return False
    condition_words.show_reading(reading)
    condition_words.show_preview(preview)
    return True


def _show_problems(error: ApiError, placed: Placed | None, notes: Mapping[tuple[int, ...], Any]) -> None:
    for name, message in error.problems or [("", str(error))]:
        row = placed.row_of(name) if placed is not None and name else None
        place = notes.get(row) if row is not None else None
        if place is not None:
            place.error(formats.plain(message), icon=":material/error:")
        else:
            words = f"{name}: {message}" if name else message
            streamlit.error(formats.plain(words), icon=":material/error:")
