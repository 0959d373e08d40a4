"""Simulated bandits for the terminal: the policies side by side, then what to read in them."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.planning.bandit_plan import BanditSimulation, PolicyOutcome
from analysis.planning.wave_text import render_waves


def render_simulation(made: BanditSimulation) -> RenderableType:
    """A renderable for `rich.console.Console.print`."""
    world = ", ".join(_arm(made, arm) for arm in made.rates)
    goal = "highest" if made.direction == "increase" or made.unit == "money" else "lowest"
    head = Text.assemble(
        (f"{made.experiment}: {made.metric}", "bold"),
        f", {made.runs:,} runs of {made.users:,} users in {made.intervals} intervals of {made.interval}\n",
        f"In this world: {world}; {goal} is best: {', '.join(made.best)}",
    )
    table = Table(box=box.SIMPLE, padding=(0, 1))
    table.add_column("")
    for outcome in made.outcomes:
        planned = " (planned)" if outcome.policy == made.planned else ""
        table.add_column(f"{outcome.policy}{planned}", justify="right")
    for row in _rows(made):
        table.add_row(*row)
    notes = [Text(f"- {note}") for note in made.notes]
    if made.waves is None:
        return Group(head, table, *notes)
    return Group(head, table, *render_waves(made.waves, made.unit, made.planned), *notes)


def _arm(made: BanditSimulation, arm: str) -> str:
    words = f"{arm} {made.rates[arm]:.2%}"
    if made.values is not None:
        words += f" of {made.values[arm]:,.4g}"
    return words if made.unit == "conversions" else f"{words}: {made.worth[arm]:,.4g} a user"


def _rows(made: BanditSimulation) -> list[tuple[str, ...]]:
    def row(name: str, cells: list[str]) -> tuple[str, ...]:
        return (name, *cells)

    each = made.outcomes
    rows = [
        row(f"{made.unit} lost (regret)", [f"{one.regret:,.1f} ± {one.regret_error:,.1f}" for one in each]),
        row("traffic to the best arm", [f"{one.best_share:.1%}" for one in each]),
        row("a report ships a variant", [f"{one.report_ships:.1%}" for one in each]),
        row("  a wrong one", [f"{one.report_ships_wrong:.1%}" for one in each]),
        row("a report keeps the control", [f"{one.report_keeps:.1%}" for one in each]),
        row("intervals to the report's decision (median)", [_of(one.intervals_to_report) for one in each]),
        row("a best arm declared", [f"{one.decided:.1%}" for one in each]),
        row("  a wrong one", [f"{one.wrong_winner:.1%}" for one in each]),
        row("wrong favourite at the end", [f"{one.wrong_favourite:.1%}" for one in each]),
        row("intervals until it is (median)", [_of(one.intervals_to_decision) for one in each]),
        row("traffic moves from interval (median)", [_moves(one) for one in each]),
    ]
    return rows + [row(f"users: {arm}", [f"{one.sends[arm]:,.0f}" for one in each]) for arm in made.rates]


def _of(number: float | None) -> str:
    return "-" if number is None else f"{number:g}"


def _moves(outcome: PolicyOutcome) -> str:
    return "never" if outcome.policy == "fixed" else _of(outcome.moved)
