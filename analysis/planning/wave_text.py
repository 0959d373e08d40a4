"""A simulated broadcast for the terminal: at once and in waves, side by side."""

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from analysis.planning.wave_plan import AT_ONCE, WaveOutcome, WaveSimulation


def render_waves(made: WaveSimulation, unit: str, planned: str) -> list[RenderableType]:
    """A heading and a table, for `rich.console.Console.print`. unit: of what is lost."""
    head = Text.assemble(
        ("As a broadcast", "bold"), f" of {made.users:,} users: at once, or in {made.waves} waves"
    )
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("")
    for one in made.outcomes:
        name = "at once" if one.policy == AT_ONCE else one.policy
        table.add_column(f"{name} (planned)" if one.policy == planned else name, justify="right")
    for row in _rows(made.outcomes, unit):
        table.add_row(*row)
    return [head, table]


def _rows(each: Sequence[WaveOutcome], unit: str) -> list[tuple[str, ...]]:
    def shares(name: str, field: str) -> tuple[str, ...]:
        return (
            name,
            *("-" if one.policy == AT_ONCE else f"{getattr(one, field):.1%}" for one in each),
        )

    return [
        (f"{unit} lost (regret)", *(_lost(one) for one in each)),
        ("users who got the best arm", *(f"{one.got_best:.1%}" for one in each)),
        ("users messaged", *(f"{one.messaged:,.0f}" for one in each)),
        shares("the rest got a winner", "shipped"),
        shares("  that is not the best", "wrong_shipped"),
        shares("  that is no better than the control", "shipped_no_better"),
        shares("the rest got the control", "ended"),
        shares("  by the report", "ended_by_report"),
        shares("  before the last wave", "ended_before_last"),
        shares("  although a variant is better", "wrongly_ended"),
        shares("all waves went out", "all_out"),
        (
            "intervals until then (median)",
            *("-" if one.policy == AT_ONCE else f"{one.intervals:g}" for one in each),
        ),
        *((f"users: {arm}", *(f"{one.users[arm]:,.0f}" for one in each)) for arm in next(iter(each)).users),
    ]


def _lost(one: WaveOutcome) -> str:
    return f"{one.regret:,.1f}" if one.policy == AT_ONCE else f"{one.regret:,.1f} ± {one.regret_error:,.1f}"
