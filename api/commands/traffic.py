"""`experiment weights`, `resume-bandit`, `add-variant`, `retire`: the traffic of an experiment that runs, by hand."""

from pathlib import Path
from typing import Annotated

import typer

from api import campaigning
from api.allocation_schemas import Planned
from api.commands.campaigns import Key, experiment, read_document
from api.terminal import ACTOR
from api.wiring import Wiring
from delivery.planning import planner
from experiments import service
from experiments.errors import Invalid, Problem
from experiments.models import Epoch

Reason = Annotated[str, typer.Option("--reason", help="Why, for the audit log.")]


def register(app: typer.Typer) -> None:
    """Nothing of its own: the commands are of `experiment`, which `campaigns` registers."""


@experiment.command("weights")
def weights(
    key: Key,
    shares: Annotated[
        list[str],
        typer.Argument(metavar="VARIANT=WEIGHT..", help="Of every variant; 0 gives one nobody new."),
    ],
    reason: Reason,
    hold: Annotated[
        bool | None,
        typer.Option(
            "--hold/--no-hold",
            help="Whether a bandit leaves them alone from now on; as before when left out.",
        ),
    ] = None,
) -> None:
    """Give users who are assigned from now on other weights, a ratio of whole numbers or shares that sum to 1; whoever is assigned stays.

    A bandit moves them again at its next slot, unless they are held.
    Example: touchstone experiment weights spring-wakeup silence=1 reminder=1 coupon=2 --hold --reason "coupons run out"
    """
    asked = _weights(shares)
    wiring = _wiring()
    with wiring.database.transaction() as session:
        epoch = service.set_weights(
            session, wiring.clock, actor=ACTOR, key=key, weights=asked, reason=reason, hold=hold
        )
        held = service.live(session, key, "given other weights", instead="").held_at is not None
    typer.echo(f"{key}: {_told(epoch)}{'; held, so that no bandit moves them' if held else ''}")


@experiment.command("resume-bandit")
def resume_bandit(key: Key, reason: Reason) -> None:
    """Let the bandit move the weights again that were held by hand, from its next slot on."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        service.release(session, wiring.clock, actor=ACTOR, key=key, reason=reason)
    typer.echo(f"{key}: the weights are no longer held")


@experiment.command("add-variant")
def add_variant(
    key: Key,
    file: Annotated[
        Path, typer.Argument(help="The variant as in a campaign, as YAML or JSON: key, message ..")
    ],
    reason: Reason,
    share: Annotated[
        float | None, typer.Option(help="Of new users, such as 0.1; an even share when left out.")
    ] = None,
) -> None:
    """Add the variant in FILE to an experiment that runs: some of those who are assigned from now on get it, nobody moves.

    Under a bandit it keeps its share until its own burn-in is over.
    Example: touchstone experiment add-variant spring-wakeup voucher.yaml --share 0.1 --reason "an idea from support"
    """
    document = read_document(file, what="a variant: a mapping with key and message")
    wiring = _wiring()
    with wiring.database.transaction() as session:
        epoch = campaigning.add_variant(
            session,
            wiring.clock,
            settings=wiring.settings,
            actor=ACTOR,
            key=key,
            variant=document,
            share=share,
            reason=reason,
        )
    typer.echo(f"{key}: {_told(epoch)}")


@experiment.command("retire")
def retire(
    key: Key,
    variant: Annotated[str, typer.Argument(help="Key of the variant.")],
    reason: Reason,
    planned: Annotated[
        Planned,
        typer.Option(help="keep: who has it is sent what it promises; cancel: they are sent nothing more."),
    ],
) -> None:
    """Give a variant nobody new; whoever has it keeps it, and counts. Weight by hand brings it back."""
    wiring = _wiring()
    with wiring.database.transaction() as session:
        epoch, cancelled = planner.retire(
            session,
            wiring.clock,
            actor=ACTOR,
            key=key,
            variant=variant,
            reason=reason,
            cancel=planned == Planned.CANCEL,
        )
    said = f"; {cancelled} messages are cancelled" if planned == Planned.CANCEL else ""
    typer.echo(f"{key}: {_told(epoch)}{said}")


def _weights(texts: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        variant, equals, weight = text.rpartition("=")
        if not equals or not variant:
            raise Invalid(f"write VARIANT=WEIGHT, such as coupon=2, not {text!r}", field="weights")
        if variant in found:
            raise Invalid.of([Problem(f"weights.{variant}", "is given twice")])
        try:
            found[variant] = float(weight)
        except ValueError as error:
            raise Invalid.of([Problem(f"weights.{variant}", f"is a number, not {weight!r}")]) from error
    return found


def _told(epoch: Epoch) -> str:
    shares = ", ".join(f"{variant} {share:.1%}" for variant, share in epoch.weights.items())
    return f"epoch {epoch.number}, {shares} of new users"


def _wiring() -> Wiring:
    wiring = Wiring.from_environment()
    wiring.prepare_database()
    return wiring
