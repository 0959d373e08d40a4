"""Step 4: how it is analysed, how traffic moves, and what the plan makes of it."""

import json
from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard.calls import campaigns
from dashboard.campaign import fields, metrics, plan_answers
from dashboard.campaign.documents import items_at
from dashboard.campaign.fields import Duration
from dashboard.campaign.steps import mistakes_of
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import bounded
from dashboard.views.campaign import library, plan_shown
from dashboard.views.campaign.widgets import KEPT, Form, explained, show_mistakes
from dashboard.views.campaign.work import Work, note

METHODS: Final = ("spending", "fixed", "always_valid", "exact")
POLICIES: Final = ("fixed", "top_two", "thompson")
MOST_EFFECT: Final = 10_000
"""In percent, as the API takes it: a hundred times as much."""
RUNS: Final = 400
"""Simulated experiments: a share has a standard error of at most 2.5 points."""


def show(client: Client, form: Form) -> None:
    _show_analysis(form)
    _show_rules(form)
    _show_allocation(form)
    streamlit.subheader(say("new_campaign.plan_answers"), anchor=False)
    _show_assumptions(client, form)
    _show_plan(client, form)


def _show_analysis(form: Form) -> None:
    plan = form.below("plan")
    method = plan.one_of(("method",), "method", METHODS, default="spending", words="new_campaign.method")
    streamlit.caption(say(f"new_campaign.method_means.{method}") if method in METHODS else method)
    left, right = streamlit.columns(2)
    with left:
        plan.percent(("mde",), "mde", most=MOST_EFFECT)
        plan.percent(("power",), "power", default=80.0)
    with right:
        plan.duration(("ends_after",), "ends_after", default=Duration(0, "d"))
        plan.percent(("alpha",), "alpha", default=5.0)


def _show_rules(form: Form) -> None:
    rules = form.below("plan", "rules")
    with streamlit.expander(say("new_campaign.rules"), expanded=bool(form.value("plan", "rules"))):
        left, right = streamlit.columns(2)
        with left:
            rules.number(("min_weeks",), "min_weeks", codec=fields.WHOLE, default=0, most=104)
            rules.number(("min_users",), "min_users", codec=fields.WHOLE, default=100, least=2)
        with right:
            rules.percent(("futility",), "futility")
            rules.yes(("stop_at_power",), "stop_at_power")
    rules.tell()


def _show_allocation(form: Form) -> None:
    streamlit.subheader(say("new_campaign.allocation"), anchor=False)
    now = str(form.value("allocation", "policy", default="fixed"))
    policy = form.choice("policy", POLICIES, now, words="new_campaign.policy")
    if policy != now:
        form.remake({**form.work.document, "allocation": {"policy": policy}}, "allocation")
    if policy not in POLICIES:
        form.keep("allocation")
        return
    streamlit.caption(say(f"new_campaign.policy_means.{policy}"))
    form.tell("allocation", inside=False)
    if policy == "fixed":
        return
    bandit = form.below("allocation")
    keys = [str(item.get("key")) for item in items_at(form.work.document, ("metrics",)) if item.get("key")]
    left, right = streamlit.columns(2)
    with left:
        bandit.one_of(("metric",), "objective", keys)
        bandit.duration(("interval",), "interval", default=Duration(1, "d"))
        bandit.percent(("floor",), "floor", default=5.0)
        if policy == "top_two":
            bandit.percent(("leader",), "leader", default=50.0)
    with right:
        burn_in = bandit.below("burn_in")
        burn_in.number(("users",), "burn_in_users", codec=fields.WHOLE, default=100)
        burn_in.number(("conversions",), "burn_in_conversions", codec=fields.WHOLE, default=10)
        cost = bandit.below("cost")
        cost.number(("message",), "cost_message", step=0.01, format="%.6g")
        cost.number(("conversion",), "cost_conversion", step=1.0, format="%.6g")
        if not bandit.value("cost"):
            bandit.put(None, "cost")
        if bandit.value("waves", "users") is None:
            bandit.percent(("waves", "share"), "wave", default=10.0)
    bandit.tell()
    kind = "experiment" if form.work.stored_as else "draft"
    streamlit.page_link(
        "views/simulation.py",
        label=say("new_campaign.simulate_bandit"),
        query_params={"campaign": f"{kind}:{form.work.key}"},
    )


def _show_assumptions(client: Client, form: Form) -> None:
    """What the past cannot tell, said by hand. It is not part of the campaign."""
    work = form.work
    primary = metrics.first_primary(work.document)
    is_rate = metrics.decides_by_share(work.document, library.definitions(client))
    with streamlit.expander(say("new_campaign.assumptions"), expanded=bool(work.assumptions)):
        streamlit.caption(say("new_campaign.assumptions_mean"))
        left, right = streamlit.columns(2)
        with left:
            if primary:
                known = work.assumptions.get("baseline", {}).get(primary)
                baseline = _assumed_rate(form, known) if is_rate else _assumed(form, "baseline", known)
                _assume(work, "baseline", None if baseline is None else {primary: baseline})
        with right:
            per_day = _assumed(form, "per_day_assumed", work.assumptions.get("per_day"))
            _assume(work, "per_day", per_day)
    form.tell("assumptions")


def _assumed_rate(form: Form, known: float | None) -> float | None:
    """A share, in percent as every other one of the form."""
    percent = fields.PERCENT.shown(known)
    chosen = _assumed(form, "baseline_rate", percent, most=100.0)
    return known if chosen == percent else None if chosen is None else fields.PERCENT.written(chosen)


def _assumed(form: Form, name: str, value: float | None, *, most: float = 1e12) -> float | None:
    key = form.key(f"~{name}")
    form.begin(key, value)
    chosen = streamlit.number_input(
        say(f"campaign_field.label.{name}"),
        min_value=float(-bounded.FAR),
        max_value=float(bounded.FAR),
        value=None,
        step=0.01,
        format="%.6g",
        key=key,
        help=explained(name),
        persist_state=KEPT,
    )
    bounded.tell(chosen, 0, most)
    return chosen


def _assume(work: Work, name: str, value: Any) -> None:
    if value != work.assumptions.get(name):
        work.doubt(f"assumptions.{name}")
    rest = {known: said for known, said in work.assumptions.items() if known != name}
    work.assumptions = rest if value is None else {**rest, name: value}


def plan_of(client: Client, work: Work, *, simulate: int = 0) -> Mapping[str, Any] | None:
    """The plan of the document as it is; None: what is wrong with it is noted in `work`, as is what keeps a sound one from being started now."""
    name = plan_name(work, simulate=simulate)
    if name in work.plans:
        work.mistakes = mistakes_of(plan_answers.start_problems(work.plans[name]))
        return work.plans[name]
    try:
        with streamlit.spinner(say("new_campaign.planning")):
            found = campaigns.plan(client, work.document, work.assumptions, simulate=simulate)
    except ApiError as error:
        note(work, error)
        return None
    work.mistakes = mistakes_of(plan_answers.start_problems(found))
    work.plans = {name: found}
    return found


def known_plan(work: Work) -> Mapping[str, Any] | None:
    """The plan of the document as it is, where it has been worked out; with or without simulated experiments."""
    return next(
        (work.plans[name] for n in (0, RUNS) if (name := plan_name(work, simulate=n)) in work.plans), None
    )


def plan_name(work: Work, *, simulate: int = 0) -> str:
    return json.dumps([work.document, work.assumptions, simulate], sort_keys=True)


def _show_plan(client: Client, form: Form) -> None:
    work = form.work
    with streamlit.container(horizontal=True, vertical_alignment="center"):
        asked = streamlit.button(
            say("new_campaign.work_out"), type="primary", icon=":material/calculate:", key=form.key("~plan")
        )
        simulated = streamlit.toggle(
            say("campaign_field.label.simulated", runs=RUNS),
            key=form.key("~simulated"),
            help=say("campaign_field.help.simulated"),
            persist_state=KEPT,
        )
    runs = RUNS if simulated else 0
    said = work.mistakes
    if asked and (plan_of(client, work, simulate=runs) is None or work.mistakes != said):
        # What is wrong, or is no longer, stands further up as well.
        streamlit.rerun()
    found = work.plans.get(plan_name(work, simulate=runs))
    if found is None:
        show_mistakes(work)
        streamlit.caption(say("new_campaign.no_plan_yet"))
        return
    plan_shown.show_answers(found, work.document)
