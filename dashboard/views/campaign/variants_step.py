"""Step 2: what is compared. Variants one by one, or content, send time and frequency crossed."""

from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.campaign import arms, documents
from dashboard.campaign.documents import at, items_at, without
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views.campaign import message_fields, timing_fields
from dashboard.views.campaign.widgets import KEPT, Form

WAYS: Final = ("one_by_one", "crossed")


def show(client: Client, form: Form) -> None:
    document = form.work.document
    now = "crossed" if arms.is_crossed(document) else "one_by_one"
    way = form.choice("way", WAYS, now, words="new_campaign.way_is")
    if way != now:
        form.remake(arms.crossed(document) if way == "crossed" else arms.uncrossed(document))
    streamlit.caption(say(f"new_campaign.way_means.{way}"))
    form.tell("variants", inside=False)
    form.tell("factors", inside=False)
    if way == "crossed":
        _show_factors(client, form)
        _show_common(client, form)
        streamlit.subheader(say("new_campaign.own_arms"), anchor=False)
        streamlit.caption(say("new_campaign.own_arms_mean"))
    _show_variants(client, form)
    _show_control(form)
    show_cells(form)


def _show_variants(client: Client, form: Form) -> None:
    variants = items_at(form.work.document, ("variants",))
    for index in range(len(variants)):
        _show_variant(client, form.below("variants", index), index)
    taken = [cell.key for cell in arms.cells(form.work.document)]
    with streamlit.container(horizontal=True):
        if streamlit.button(say("new_campaign.add_message"), icon=":material/add:", key=form.key("~add")):
            _add(form, {"key": arms.free_key("message", taken), "message": {}})
        silent = any(item.get("message") is None for item in variants)
        if not silent and streamlit.button(
            say("new_campaign.add_silence"), icon=":material/add:", key=form.key("~add_silence")
        ):
            _add(form, {"key": "silence" if "silence" not in taken else arms.free_key("silence", taken)})


def _add(form: Form, variant: dict[str, Any]) -> None:
    variants = items_at(form.work.document, ("variants",))
    added = documents.with_value(form.work.document, ("variants",), [*variants, variant])
    form.remake(added, "variants", len(variants))


def _show_variant(client: Client, form: Form, index: int) -> None:
    with streamlit.container(border=True):
        key, weight, away = streamlit.columns([4, 2, 1], vertical_alignment="bottom")
        with key:
            form.text(("key",), "variant_key", max_chars=documents.LONGEST_KEY)
        with weight:
            form.number(("weight",), "weight", default=1.0, most=1e6)
        with away:
            if streamlit.button(
                say("new_campaign.remove"), icon=":material/delete:", key=form.key("~remove"), width="stretch"
            ):
                form.remake_all(without(form.work.document, ("variants", index)), "variants")
        form.tell(inside=False)
        speaks = message_fields.show(client, form.below("message"))
        if speaks:
            _show_schedule(form)


def _show_schedule(form: Form) -> None:
    when, often = streamlit.columns([3, 2], gap="large")
    with when:
        timing_fields.show_send_time(form.below("send_time"))
    with often:
        timing_fields.show_frequency(form.below("frequency"))


def _show_factors(client: Client, form: Form) -> None:
    for index, factor in enumerate(items_at(form.work.document, ("factors",))):
        with streamlit.container(border=True):
            _show_factor(client, form.below("factors", index), index, arms.parts_of(factor) or ["message"])
    varied = arms.varied_parts(form.work.document)
    with streamlit.container(horizontal=True):
        for part in arms.PARTS:
            if part not in varied and streamlit.button(
                say(f"new_campaign.vary.{part}"), icon=":material/add:", key=form.key(f"~vary_{part}")
            ):
                form.remake(arms.vary(form.work.document, part))


def _show_factor(client: Client, form: Form, index: int, parts: list[str]) -> None:
    key, away = streamlit.columns([6, 1], vertical_alignment="bottom")
    with key:
        form.text(("key",), "factor_key", max_chars=documents.LONGEST_KEY)
    with away:
        if streamlit.button(
            say("new_campaign.remove"), icon=":material/delete:", key=form.key("~remove"), width="stretch"
        ):
            left = without(form.work.document, ("factors", index))
            form.remake_all(left if left.get("factors") else arms.uncrossed({**left, "factors": None}))
    form.tell("levels", inside=False)
    levels = items_at(form.value(), ("levels",))
    for place in range(len(levels)):
        with streamlit.container(border=True):
            _show_level(client, form.below("levels", place), place, parts, removable=len(levels) > 2)
    if streamlit.button(say("new_campaign.add_level"), icon=":material/add:", key=form.key("~add_level")):
        taken = [str(level.get("key")) for level in levels]
        fresh = {"key": arms.free_key(str(form.value("key", default="level")), taken)}
        form.remake(
            documents.with_value(
                form.work.document, (*form.root, "levels"), [*levels, fresh | _start(parts)]
            ),
            "levels",
            len(levels),
        )


def _start(parts: list[str]) -> dict[str, Any]:
    """What a new level begins with."""
    starts: dict[str, Any] = {"send_time": {"local_time": "12:00"}, "frequency": {"steps": 1}, "message": {}}
    return {part: starts[part] for part in parts}


def _show_level(client: Client, form: Form, index: int, parts: list[str], *, removable: bool) -> None:
    key, weight, away = streamlit.columns([4, 2, 1], vertical_alignment="bottom")
    with key:
        form.text(("key",), "level_key", max_chars=documents.LONGEST_KEY)
    with weight:
        form.number(("weight",), "weight", default=1.0, most=1e6)
    with away:
        if removable and streamlit.button(
            say("new_campaign.remove"), icon=":material/delete:", key=form.key("~remove"), width="stretch"
        ):
            form.remake_all(without(form.work.document, (*form.root[:-1], index)), *form.root[:-1])
    form.tell(inside=False)
    if "message" in parts:
        message_fields.show(client, form.below("message"))
    if "send_time" in parts:
        timing_fields.show_send_time(form.below("send_time"))
    if "frequency" in parts:
        timing_fields.show_frequency(form.below("frequency"))


def _show_common(client: Client, form: Form) -> None:
    """What all combinations share."""
    varied = arms.varied_parts(form.work.document) or ["message"]
    common = form.below("treatment")
    left = [part for part in arms.PARTS if part not in varied]
    if not left:
        return
    streamlit.subheader(say("new_campaign.common"), anchor=False)
    with streamlit.container(border=True):
        if "message" in left:
            message_fields.show(client, common.below("message"))
        if "send_time" in left:
            timing_fields.show_send_time(common.below("send_time"))
        if "frequency" in left:
            timing_fields.show_frequency(common.below("frequency"))


def _show_control(form: Form) -> None:
    """Which arm the others are compared with."""
    document = form.work.document
    listed = [str(item.get("key")) for item in items_at(document, ("variants",)) if item.get("key")]
    crossed = arms.is_crossed(document)
    cells = arms.cells(document)
    combinations = [cell.key for cell in cells if cell.levels] if crossed else []
    first = combinations[0] if combinations else None
    options = [*dict.fromkeys([*combinations, *listed])]
    if not options:
        return
    now = arms.control_of(document) or first
    key = form.key("~control")
    if streamlit.session_state.get(key) not in options:
        streamlit.session_state.pop(key, None)
    form.begin(key, now if now in options else None)
    chosen = streamlit.selectbox(
        say("campaign_field.label.control"),
        options,
        index=None,
        key=key,
        help=say("campaign_field.help.control"),
        persist_state=KEPT,
    )
    if crossed:
        streamlit.caption(say("new_campaign.crossed_control"))
    if chosen is None or chosen == now:
        return
    made = arms.with_control(document, None if chosen in combinations else chosen)
    if chosen not in combinations or chosen == first:
        form.work.document = made
        return
    # The keys of combinations stay; the levels stand elsewhere, and their fields with them.
    form.remake(arms.with_first(made, chosen), "factors")


def show_cells(form: Form) -> None:
    """Every arm as it will be, with its share."""
    cells = arms.cells(form.work.document)
    if not cells:
        return
    streamlit.subheader(say("new_campaign.cells", count=len(cells)), anchor=False)
    rows = []
    for cell in cells:
        kind, values = timing_fields.when_words(cell.treatment.get("send_time"))
        message = cell.treatment.get("message")
        rows.append(
            {
                say("new_campaign.cell.arm"): cell.key,
                say("new_campaign.cell.control"): say("new_campaign.cell.is_control") if cell.control else "",
                say("new_campaign.cell.share"): formats.UNKNOWN
                if cell.share is None
                else formats.percent(cell.share),
                say("new_campaign.cell.says"): say("new_campaign.cell.nothing")
                if cell.silent
                else str(at(message, ("template",)) or at(message, ("text",)) or formats.UNKNOWN),
                say("new_campaign.cell.when"): "" if cell.silent else say(kind, **values),
                say("new_campaign.cell.times"): ""
                if cell.silent
                else str(at(cell.treatment, ("frequency", "steps"), 1)),
            }
        )
    streamlit.dataframe(rows, hide_index=True, alt=say("new_campaign.cells", count=len(cells)))
