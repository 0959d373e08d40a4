"""How many users it takes, how long, and what so many are enough for: from a few numbers, or of a campaign over the users there are."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import streamlit

from dashboard import access, formats
from dashboard.calls import planning
from dashboard.campaign.documents import with_value
from dashboard.client import ApiError, Client
from dashboard.sizes import Asked, Figure, Size, figures, guard_question, question
from dashboard.texts import say
from dashboard.views import addressed, planner_campaign
from dashboard.views.asked_fields import Fields, said
from dashboard.views.campaign import plan_shown
from dashboard.views.remembering import remembered

WAYS: Final = ("numbers", "campaign")
KINDS: Final = ("rate", "mean")
METHODS: Final = ("spending", "fixed", "always_valid", "exact")
MOST_LOOKS: Final = 90
A_ROW: Final = 3
FIRST: Final = 0.1
SECOND: Final = 0.5
"""How far the work of `exact` is when its first and its second half begin."""


def show() -> None:
    streamlit.header(say("app.page.planner"), anchor=False)
    streamlit.caption(say("planner.intro"))
    way = addressed.segmented(
        say("planner.way"),
        WAYS,
        name="way",
        shown=lambda option: say(f"planner.ways.{option}"),
        default=WAYS[0],
        help=say("planner.way_help"),
    )
    if way == "campaign":
        planner_campaign.show()
    else:
        _show_numbers()


def _show_numbers() -> None:
    fields = Fields("planner")
    asked = _asked(fields)
    if asked is None:
        streamlit.info(say("planner.base_first"), icon=":material/edit:")
        return
    guard_fields = Fields("planner")
    guard_base, guard_margin = _show_guard(guard_fields)
    if fields.ask_to_mend() or guard_fields.ask_to_mend():
        return
    client = access.required().client
    asks = question(asked)
    # Its numbers are drawn look by look, which takes seconds: the figures are shown before the pictures are there.
    halves = asked.method == "exact"
    bar = streamlit.empty()
    if halves:
        bar.progress(FIRST, text=say("planner.working_figures"))
    try:
        with streamlit.spinner(say("planner.working")):
            size = _answered(client, "size", {**asks, "only": "figures"} if halves else asks)
    except ApiError as error:
        bar.empty()
        fields.tell(error)
        return
    asked = replace(asked, guard_base=guard_base, guard_margin=guard_margin)
    guard = None
    guards = guard_question(asked, size.users_needed if asked.users is None else asked.users)
    if guards is not None:
        try:
            guard = _answered(client, "guard", guards)
        except ApiError as error:
            guard_fields.tell(error)
    _show_figures(figures(size, asked, guard))
    for reason in dict.fromkeys([*size.reasons, *(guard.reasons if guard else ())]):
        streamlit.caption(formats.plain(reason))
    shown = size.document
    if halves:
        bar.progress(SECOND, text=say("planner.working_pictures"))
        try:
            shown = _answered(client, "pictures", {**asks, "only": "pictures"}).document
        except ApiError as error:
            fields.tell(error)
            return
        finally:
            bar.empty()
    plan_shown.show_curves(
        with_value({**shown, "power": asked.power / 100}, ("audience", "taking_part"), asked.users)
    )


def _answered(client: Client, name: str, asks: Mapping[str, Any]) -> Size:
    return remembered(
        f"planner:{name}", json.dumps(asks, sort_keys=True), lambda: planning.size(client, asks)
    )


def _asked(fields: Fields) -> Asked | None:
    """The form; None while there is no base."""
    kind = fields.one_of("kind", KINDS, words="planner.kind")
    first, second, third = streamlit.columns(3)
    with first:
        if kind == "rate":
            baseline = fields.number("rate", default=10.0, most=100, step=0.5, about="baseline")
            sd = None
        else:
            baseline = fields.number("mean", default=40.0, about="baseline")
            sd = fields.number("sd", default=90.0)
    with second:
        lift = fields.number("lift", default=10.0, least=-100, most=10_000, about="mde")
        arms = fields.whole("arms", default=2, least=2, most=50, about="weights")
    with third:
        users = fields.whole("users", least=2)
        per_day = fields.number("per_day", step=100)
    method = fields.one_of("method", METHODS, words="new_campaign.method")
    streamlit.caption(say(f"new_campaign.method_means.{method}"))
    first, second, third = streamlit.columns(3)
    with first:
        looks = fields.whole("looks", default=14, most=MOST_LOOKS)
    with second:
        alpha = fields.number("alpha", default=5.0, most=100)
    with third:
        power = fields.number("power", default=80.0, most=100)
    with streamlit.expander(
        say("planner.more"), expanded=said("window", "reach", "rho", "price", "control_sends")
    ):
        first, second, third = streamlit.columns(3)
        with first:
            window = fields.whole("window", default=7, most=3650)
            reach = fields.number("reach", default=100.0, most=100)
        with second:
            rho = fields.number("rho", default=0.0, least=-1, most=1, step=0.1)
        with third:
            price = fields.number("price", step=0.01, about="message_price")
            control_sends = fields.yes("control_sends")
    if baseline is None or (kind == "mean" and sd is None):
        return None
    return Asked(
        baseline=baseline,
        lift=lift,
        sd=sd,
        users=users,
        arms=arms or 2,
        method=method,
        looks=looks or 1,
        alpha=5.0 if alpha is None else alpha,
        power=80.0 if power is None else power,
        per_day=per_day or None,
        window=window or 7,
        reach=100.0 if reach is None else reach,
        rho=rho or 0.0,
        price=price,
        control_sends=control_sends,
    )


def _show_guard(fields: Fields) -> tuple[float | None, float | None]:
    with streamlit.expander(say("planner.guard"), expanded=said("guard_base", "guard_margin")):
        streamlit.caption(say("planner.guard_means"))
        first, second = streamlit.columns(2)
        with first:
            base = fields.number("guard_base", most=100, step=0.1, about="baseline")
        with second:
            margin = fields.number("guard_margin", most=100, step=0.1, about="margin")
    return base, margin


def _show_figures(found: list[Figure]) -> None:
    """Figures side by side, each above the sentence that explains it."""
    for start in range(0, len(found), A_ROW):
        for column, figure in zip(streamlit.columns(A_ROW), found[start : start + A_ROW], strict=False):
            with column.container(border=True, height="stretch"):
                streamlit.metric(figure.label, figure.value)
                streamlit.caption(formats.plain(figure.words))


if __name__ == "__main__":
    show()
