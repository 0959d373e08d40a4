"""What the API's plan of a campaign says: in the wizard, and on the page Planner."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import streamlit

from dashboard import formats, values
from dashboard.campaign import guard_answers, plan_answers
from dashboard.campaign.documents import Document, items_at
from dashboard.texts import say
from dashboard.views.campaign.widgets import called


def show_answers(plan: Mapping[str, Any], document: Document) -> None:
    show_verdict(plan)
    show_reach(plan, document)
    rows = plan_answers.metric_rows(plan)
    names = ("metric", "role", "base", "power", "finds", "users_needed", "days_needed")
    table = [
        {say(f"new_campaign.plan_column.{name}"): row[name] for name in names}
        | {say("new_campaign.plan_column.role"): called("new_campaign.role", row["role"])}
        for row in rows
    ]
    streamlit.dataframe(table, hide_index=True, alt=say("new_campaign.plan_table"))
    for row in rows:
        for reason in row["reasons"]:
            streamlit.caption(formats.plain(f"{row['metric']}: {reason}"))
    _show_factors(plan, document)
    show_curves(plan)
    _show_simulation(plan)
    _show_guards(plan)
    for name in ("limits", "warnings", "assumptions"):
        told = [formats.plain(str(line)) for line in items_at(plan, (name,))]
        if told:
            heading = f"{say(f'new_campaign.plan_notes.{name}')} ({len(told)})"
            with streamlit.expander(heading, expanded=name == "warnings"):
                streamlit.markdown("\n".join(f"- {line}" for line in told))


def _show_guards(plan: Mapping[str, Any]) -> None:
    """How soon a variant that does harm would be stopped."""
    sentences = guard_answers.guard_sentences(plan)
    if not sentences:
        return
    streamlit.markdown(f"**{say('planner.guards.title')}**")
    streamlit.markdown("\n".join(f"- {sentence}" for sentence in sentences))
    for reason in guard_answers.guard_reasons(plan):
        streamlit.caption(formats.plain(reason))


def _show_factors(plan: Mapping[str, Any], document: Document) -> None:
    """What crossing is for: each level against the first of its factor, over all arms; and how levels act together."""
    rows = plan_answers.factor_rows(plan, document)
    if not rows:
        return
    streamlit.markdown(f"**{say('new_campaign.factor_effects')}**")
    streamlit.caption(say("new_campaign.factor_effects_mean"))
    table = [
        {
            say("new_campaign.factor_column.effect"): _effect_words(row),
            **{
                say(f"new_campaign.plan_column.{name}"): row[name]
                for name in ("power", "finds", "users_needed")
            },
        }
        for row in rows
    ]
    streamlit.dataframe(table, hide_index=True, alt=say("new_campaign.factor_effects"))


def _effect_words(row: Mapping[str, str]) -> str:
    kind = row["kind"] if row["kind"] in {"main", "interaction"} else "other"
    return say(
        f"new_campaign.factor_effect.{kind}", factor=row["factor"], level=row["level"], against=row["against"]
    )


def show_curves(plan: Mapping[str, Any]) -> None:
    """Power by users, power by the size of the effect, and what looking costs: as pictures, and as numbers below."""
    power = say("new_campaign.plan_column.power")
    users, effect = say("new_campaign.plan_column.users"), say("planner.effect")
    _show_curve(
        plan_answers.power_curve(plan, users=users, power=power),
        say("new_campaign.curve"),
        described=say("new_campaign.curve_alt"),
        columns=(users, power),
        rows=plan_answers.curve_rows(plan),
    )
    _show_curve(
        plan_answers.effect_curve(plan, effect=effect, power=power),
        say("planner.effects"),
        described=say("planner.effects_alt"),
        columns=(effect, power),
        rows=plan_answers.effect_rows(plan),
    )
    looking = plan_answers.looking_rows(plan)
    if looking:
        with streamlit.expander(say("planner.looking")):
            streamlit.caption(say("planner.looking_means"))
            names = [say(f"planner.looking_column.{name}") for name in ("looks", "spending", "always_valid")]
            streamlit.table(
                [dict(zip(names, map(str, row), strict=True)) for row in looking],
                hide_index=True,
                alt=say("planner.looking"),
            )


def _show_curve(
    chart: alt.LayerChart | None,
    title: str,
    *,
    described: str,
    columns: tuple[str, str],
    rows: Sequence[tuple[str, str]],
) -> None:
    if chart is None:
        return
    streamlit.markdown(f"**{title}**")
    streamlit.altair_chart(chart, alt=described)
    with streamlit.expander(say("new_campaign.as_numbers")):
        streamlit.dataframe(
            [dict(zip(columns, row, strict=True)) for row in rows], hide_index=True, alt=title
        )


def show_verdict(plan: Mapping[str, Any]) -> None:
    """What the users there are can show, in the API's sentences."""
    for sentence in items_at(plan, ("verdict",)):
        streamlit.markdown(f"- {formats.plain(str(sentence))}")


def show_reach(plan: Mapping[str, Any], document: Document) -> None:
    """Whom a start would reach, in four numbers."""
    reach = plan_answers.reach_of(plan, document)
    cells = {
        "taking_part": formats.count(reach.taking_part),
        "people": formats.count(reach.people),
        "messages": formats.count(reach.messages),
        "days": plan_answers.days_words(reach.days),
    }
    if reach.cost is not None:
        cells["cost"] = f"{reach.cost:,.2f}"
    for column, (name, value) in zip(streamlit.columns(len(cells)), cells.items(), strict=True):
        column.metric(say(f"new_campaign.reach.{name}"), value, help=say(f"new_campaign.reach_help.{name}"))


def _show_simulation(plan: Mapping[str, Any]) -> None:
    simulation = plan.get("simulation")
    if not isinstance(simulation, Mapping):
        return
    found = [
        f"{formats.plain(str(name))}: {formats.percent(share, 0)}"
        for name, share in values.numbers(simulation.get("found")).items()
    ]
    streamlit.markdown(
        say(
            "new_campaign.simulated_found",
            runs=formats.count(values.whole(simulation.get("runs"))),
            metric=formats.plain(str(simulation.get("metric"))),
            any=formats.percent(values.number(simulation.get("any_found")) or 0.0, 0),
            found=", ".join(found),
        )
    )
