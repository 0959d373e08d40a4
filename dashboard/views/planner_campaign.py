"""The plan of a campaign that exists, over the users there are: audience, caps, power, guardrails, cost."""

import json
from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import access
from dashboard.calls import campaigns
from dashboard.campaign import metrics
from dashboard.client import ApiError
from dashboard.sizes import share
from dashboard.texts import say
from dashboard.views import campaign_choice
from dashboard.views.asked_fields import Fields, said
from dashboard.views.campaign import library, plan_shown

RUNS: Final = 400
_ANSWERED: Final = "planner:answered"
"""The newest plan of this tab, with what was asked."""


def show() -> None:
    found = campaign_choice.chosen()
    if found is None:
        return
    choice, document = found
    campaign_choice.show_link(choice)
    fields = Fields("planner")
    is_rate = metrics.decides_by_share(document, library.definitions(access.required().client))
    assumptions = _assumptions(fields, metrics.first_primary(document), is_rate=is_rate)
    runs = RUNS if fields.yes("simulated") else 0
    if fields.ask_to_mend():
        return
    asks = json.dumps([choice, document, assumptions, runs], sort_keys=True)
    if streamlit.button(say("planner.work_out"), type="primary", icon=":material/calculate:"):
        try:
            with streamlit.spinner(say("planner.working"), show_time=True):
                plan = campaigns.plan(access.required().client, document, assumptions, simulate=runs)
        except ApiError as error:
            fields.tell(error, prefix="assumptions.")
            return
        streamlit.session_state[_ANSWERED] = (asks, plan)
    answered = streamlit.session_state.get(_ANSWERED)
    if answered is None or answered[0] != asks:
        streamlit.caption(say("planner.nothing_yet"))
        return
    plan_shown.show_answers(answered[1], document)


def _assumptions(fields: Fields, primary: str | None, *, is_rate: bool) -> Mapping[str, Any]:
    """What the past cannot tell, said by hand."""
    with streamlit.expander(
        say("planner.assumed"),
        expanded=said(
            "assumed_users",
            "assumed_per_day",
            "assumed_reach",
            "assumed_base",
            "assumed_rate",
            "assumed_opt_outs",
        ),
    ):
        streamlit.caption(say("planner.assumed_means"))
        first, second = streamlit.columns(2)
        with first:
            users = fields.whole("assumed_users", about="users")
            per_day = fields.number("assumed_per_day", step=100, about="per_day")
        with second:
            reach = fields.number("assumed_reach", most=100, about="reach")
            base = _base(fields, is_rate=is_rate) if primary else None
        opt_outs = fields.number("assumed_opt_outs", most=50, step=0.1, about="baseline.opted_out")
    baseline = {} if base is None or primary is None else {primary: base}
    if opt_outs is not None:
        baseline["opted_out"] = share(opt_outs)
    given = {
        "users": users,
        "per_day": per_day,
        "reach": None if reach is None else share(reach),
        "baseline": baseline or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _base(fields: Fields, *, is_rate: bool) -> float | None:
    if not is_rate:
        return fields.number("assumed_base", about="baseline")
    rate = fields.number("assumed_rate", most=100, step=0.5, about="baseline")
    return None if rate is None else share(rate)
