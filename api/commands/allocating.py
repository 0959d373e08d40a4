"""`reallocate`: what bandits do with the traffic, done now where it is due, or only told. `release`: a stopped variant goes on."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from api.terminal import ACTOR
from api.wiring import Wiring
from delivery.planning import planner
from experiments.clock import format_moment
from experiments.errors import Conflict


def register(app: typer.Typer) -> None:
    app.command()(reallocate)
    app.command()(release)


def reallocate(
    key: Annotated[str | None, typer.Argument(help="Key of one experiment; all when left out.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Change nothing: say what would be done on the data of now, due or not."
        ),
    ] = False,
) -> None:
    """Let bandits move traffic where a slot is due, and say what was done and why. The scheduler does the same by itself.

    Each slot is done once, whoever asks. With --dry-run the weights are computed whether a slot is due or not, and nothing is changed.
    Example: touchstone reallocate spring-wakeup --dry-run
    """
    # scipy takes a second to load, which no other command should wait for.
    from analysis.bandits import reallocation, status

    wiring = Wiring.from_environment()
    wiring.prepare_database()
    due_at = None
    if key is not None:
        with wiring.database.snapshot() as session:
            state = status.allocation_of(session, wiring.clock, key=key, limit=1)
        if (due_at := state.next_due_at) is None:
            why = "has fixed weights" if state.design.bandit is None else f"is {state.experiment.status}"
            if state.experiment.shipped is not None:
                why = f"has shipped {state.experiment.shipped}"
            raise Conflict(f"experiment {key!r} {why}, so that no traffic moves", field="key")
    if dry_run:
        for each in reallocation.would_do(wiring.database, wiring.clock, facts=wiring.facts, key=key):
            _say(f"would be {each.outcome}", each.reason, each.numbers)
        return
    done = reallocation.reallocate_tick(wiring.database, wiring.clock, facts=wiring.facts, key=key)
    for row in done:
        _say(row.outcome, row.reason, row.numbers)
    if not done:
        due = "" if due_at is None else f"; the next slot of {key} is due {format_moment(due_at)}"
        typer.echo(f"nothing is due{due}")


def release(
    key: Annotated[str, typer.Argument(help="Key of the experiment.")],
    variant: Annotated[str, typer.Argument(help="Key of the variant that a guardrail has stopped.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it may go on, for the audit log.")],
    restore: Annotated[
        bool, typer.Option("--restore", help="Plan its cancelled messages again, unless they have expired.")
    ] = False,
) -> None:
    """Let a variant go on that a guardrail has stopped, with the share of new users that it had.

    Messages that were cancelled stay so without --restore, and an experiment that was paused stays so: resume it. Guards judge the variant
    anew, by those whom its messages meet from now on.
    Example: touchstone release spring-wakeup coupon --reason "the opt-outs were a test list"
    """
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    with wiring.database.transaction() as session:
        epoch, restored = planner.release(
            session, wiring.clock, actor=ACTOR, key=key, variant=variant, reason=reason, restore=restore
        )
    again = f"; {restored} messages are planned again" if restore else ""
    typer.echo(f"{variant} goes on with {epoch.weights[variant]:.1%} of new users{again}")


def _say(outcome: str, reason: str, numbers: Mapping[str, Any]) -> None:
    from analysis.bandits import words

    for line in words.told(outcome, reason, numbers):
        typer.echo(line)
