"""Shipping by the report: what its decision says may be shipped as it stands, anything else only by force and with a reason."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from analysis.facts.engines import FactsEngine
from analysis.reports.models import StoredReport
from analysis.reports.service import LOOK_EVERY, current_report
from delivery.planning import planner
from experiments.clock import Clock, format_moment
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from experiments.models import Experiment
from experiments.repository import get_experiment
from experiments.service import LONGEST_REASON, design_of
from experiments.vocabulary import DecisionAction

FRESH: Final = timedelta(minutes=5)
"""How old a report may be that a winner is shipped by: in an hour a guardrail may have opened, or the lead have gone."""


def report_to_ship_by(
    database: Database, clock: Clock, *, key: str, force: bool, facts: FactsEngine | None = None
) -> StoredReport:
    """The newest report when it is no older than `FRESH`, else a new look. Raises as `service.current_report` does.

    force: nothing is decided by it then, so that one of the last hour does and nobody waits for a look. Opens its own transactions.
    """
    return current_report(database, clock, key=key, max_age=LOOK_EVERY if force else FRESH, facts=facts)


def ship(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    decision: Mapping[str, Any],
    as_of: datetime,
    variant: str | None = None,
    force: bool = False,
    reason: str | None = None,
) -> tuple[Experiment, bool]:
    """Ship a variant to the rest of the audience; returns the experiment, and False when it was shipped before.

    decision: of the newest report (`action`, `variant`, `because`), which is of the moment `as_of`. variant: that of the decision when None. Without force only
    the variant to ship may be shipped, or the control where the decision is to keep it (and `variant` names it).
    Raises Conflict where the decision says otherwise, Invalid for force without a variant or a reason, and as
    `delivery.planning.planner.ship` does.
    """
    experiment = get_experiment(session, key, for_update=True)
    if experiment.shipped is not None:
        # Whatever the report says by now: it is done.
        chosen, said = variant or experiment.shipped, reason or ""
    elif force:
        chosen, said = _forced(decision, variant, reason)
    else:
        chosen, said = _decided(experiment, decision, as_of, variant), reason or str(decision["because"])
    return planner.ship(
        session,
        clock,
        actor=actor,
        key=key,
        variant=chosen,
        reason=said[:LONGEST_REASON] if reason is None else reason,
        numbers={"decision": dict(decision), "as_of": format_moment(as_of), "forced": force},
    )


def _forced(decision: Mapping[str, Any], variant: str | None, reason: str | None) -> tuple[str, str]:
    chosen = variant or decision["variant"]
    if chosen is None:
        raise Invalid("is required: the report's decision names no variant", field="variant")
    if not reason:
        raise Invalid(
            "is required with `force`: say why the report's decision is passed over", field="reason"
        )
    return chosen, reason


def _decided(
    experiment: Experiment, decision: Mapping[str, Any], as_of: datetime, variant: str | None
) -> str:
    action, because = decision["action"], decision["because"]
    by_force = (
        f"the report is of {format_moment(as_of)}: look anew (`touchstone report {experiment.key}`), "
        "or ship all the same with `force` and a `reason`"
    )
    if action == DecisionAction.KEEP_CONTROL and variant == design_of(experiment).control.key:
        return variant
    if action != DecisionAction.SHIP:
        raise Conflict(
            f"the report's decision is {action}, which ships nothing: {because}; {by_force}",
            field="force",
        )
    winner = str(decision["variant"])
    if variant not in (None, winner):
        raise Conflict(
            f"the report's decision is to ship {winner!r}, not {variant!r}: {because}; {by_force}",
            field="force",
        )
    return winner
