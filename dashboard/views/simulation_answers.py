"""What a simulation says: advice, pictures, and every number with its error."""

from collections.abc import Callable, Mapping, Sequence

import streamlit

from dashboard import formats, simulation_charts
from dashboard.policy_advice import advice, policy_name
from dashboard.simulated import (
    SHARES_OF_WAVES,
    Broadcast,
    Outcome,
    Simulated,
    amount_with_error,
    share_with_error,
)
from dashboard.texts import say, told


def show(found: Simulated) -> None:
    _show_advice(found)
    streamlit.caption(
        say(
            "simulation.what",
            runs=formats.count(found.runs),
            users=formats.count(found.users),
            intervals=found.intervals,
            interval=found.interval,
            metric=formats.plain(found.metric),
            best=formats.plain(", ".join(found.best)),
        )
    )
    names = {policy: policy_name(policy) for policy in {row.policy for row in found.outcomes}}
    unit = told("simulation.unit", found.unit)
    if found.broadcast:
        streamlit.subheader(say("simulation.broadcast", count=found.waves), anchor=False)
        streamlit.caption(say("simulation.broadcast_means"))
        _show_pictures(found.broadcast, {row.policy: row.users for row in found.broadcast}, names, unit)
        _show_table([_column(row, found, unit) for row in found.broadcast], say("simulation.broadcast_table"))
        streamlit.subheader(say("simulation.as_stream"), anchor=False)
        streamlit.caption(say("simulation.as_stream_means"))
    _show_pictures(found.outcomes, {row.policy: row.sends for row in found.outcomes}, names, unit)
    _show_table([_outcome(row, found, unit) for row in found.outcomes], say("simulation.table"))
    streamlit.caption(say("simulation.table_means"))
    if found.nothing_moved:
        streamlit.info(say("simulation.nothing_moved"), icon=":material/info:")
    for note in found.notes:
        streamlit.info(formats.plain(note), icon=":material/info:")


def show_so_far(found: Simulated) -> None:
    """The policies that have been played, before the others have."""
    unit = told("simulation.unit", found.unit)
    _show_table([_outcome(row, found, unit) for row in found.outcomes], say("simulation.table"))


def _show_advice(found: Simulated) -> None:
    said = advice(found)
    reason, *rest = said.sentences
    streamlit.success(
        f"**{say('simulation.take', name=policy_name(said.policy))}** {formats.plain(reason)}",
        icon=":material/lightbulb:",
    )
    for sentence in rest:
        streamlit.warning(formats.plain(sentence), icon=":material/info:")
    if found.planned and found.planned != said.policy:
        streamlit.caption(say("simulation.planned", name=policy_name(found.planned)))


def _show_pictures(
    rows: Sequence[Outcome | Broadcast],
    users: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
    unit: str,
) -> None:
    left, right = streamlit.columns(2)
    regrets = simulation_charts.regrets(rows, names, title=say("simulation.regret_axis", unit=unit))
    traffic = simulation_charts.traffic(users, names, title=say("simulation.traffic_axis"))
    for place, chart, title in ((left, regrets, "regret"), (right, traffic, "traffic")):
        if chart is not None:
            place.markdown(f"**{say(f'simulation.picture.{title}')}**")
            place.altair_chart(chart, alt=say(f"simulation.picture_alt.{title}"))


def _outcome(row: Outcome, found: Simulated, unit: str) -> tuple[str, dict[str, str]]:
    runs = found.runs
    return policy_name(row.policy), {
        say("simulation.row.regret", unit=unit): amount_with_error(row.regret, row.regret_error),
        say("simulation.row.best_share"): formats.chance(row.best_share),
        say("simulation.row.report_ships"): share_with_error(row.report_ships, runs),
        say("simulation.row.report_ships_wrong"): share_with_error(row.report_ships_wrong, runs),
        say("simulation.row.report_keeps"): share_with_error(row.report_keeps, runs),
        say("simulation.row.intervals_to_report"): _times(row.intervals_to_report, found),
        say("simulation.row.decided"): share_with_error(row.decided, runs),
        say("simulation.row.wrong_winner"): share_with_error(row.wrong_winner, runs),
        say("simulation.row.wrong_favourite"): share_with_error(row.wrong_favourite, runs),
        say("simulation.row.intervals_to_decision"): _times(row.intervals_to_decision, found),
        say("simulation.row.moved"): _times(row.moved, found),
        **{say("simulation.row.users", name=arm): f"{sent:,.0f}" for arm, sent in row.sends.items()},
    }


def _column(row: Broadcast, found: Simulated, unit: str) -> tuple[str, dict[str, str]]:
    # Everybody at once is no draw: its numbers are expected values, and nothing is shipped or ended.
    drawn = row.policy != "fixed"
    return policy_name(row.policy), {
        say("simulation.row.regret", unit=unit): amount_with_error(row.regret, row.regret_error),
        say("simulation.row.got_best"): formats.chance(row.got_best),
        say("simulation.row.messaged"): f"{row.messaged:,.0f}",
        **{
            say(f"simulation.row.{name}"): share_with_error(row.shares[name], found.runs)
            if drawn
            else formats.UNKNOWN
            for name in SHARES_OF_WAVES
        },
        say("simulation.row.wave_intervals"): _times(row.intervals, found) if drawn else formats.UNKNOWN,
        **{say("simulation.row.users", name=arm): f"{sent:,.0f}" for arm, sent in row.users.items()},
    }


def _times(intervals: float | None, found: Simulated) -> str:
    return formats.UNKNOWN if intervals is None else f"{intervals:g} × {found.interval}"


def _show_table(columns: list[tuple[str, dict[str, str]]], alt: str) -> None:
    """One row a measure, one column a policy."""
    measures = dict.fromkeys(measure for _, column in columns for measure in column)
    plain: Callable[[str], str] = formats.plain
    streamlit.table(
        [
            {
                say("simulation.measure"): plain(measure),
                **{plain(name): plain(column.get(measure, "")) for name, column in columns},
            }
            for measure in measures
        ],
        border="horizontal",
        hide_index=True,
        alt=alt,
    )
