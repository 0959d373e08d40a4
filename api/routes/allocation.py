"""Traffic while an experiment runs: what a bandit did, weights that are held, variants added, retired and shipped."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path

from analysis.bandits.status import allocation_of
from analysis.reports import shipping
from analysis.reports.models import StoredReport
from api import campaigning
from api.allocation_schemas import (
    AddVariantRequest,
    AllocationAnswer,
    Cancelled,
    Planned,
    ReleasedAnswer,
    ReleaseRequest,
    ResumeAllocationRequest,
    RetiredAnswer,
    RetireRequest,
    ShipRequest,
)
from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Limit,
    Reader,
    ReadSession,
    SettingsOf,
    WiringOf,
    Writer,
    WriteSession,
)
from api.experiment_schemas import EpochAnswer
from api.idempotency import IdempotentRoute
from api.presenting import experiment_answer
from api.schemas import ExperimentAnswer
from delivery.planning import planner
from experiments import service

router = APIRouter(
    prefix="/v1/experiments",
    tags=["experiments"],
    route_class=IdempotentRoute,
    dependencies=list(MANAGEMENT),
)
Key = Annotated[CleanText, Path(min_length=1, max_length=64)]


@router.get("/{key}/allocation")
def allocation(
    session: ReadSession, clock: ClockOf, _principal: Reader, key: Key, limit: Limit = 20
) -> AllocationAnswer:
    """The weights now, the newest epochs and reallocations with their reasons and numbers, and when the next one is due."""
    return AllocationAnswer.of(allocation_of(session, clock, key=key, limit=limit))


@router.post("/{key}/allocation/resume")
def resume_allocation(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: ResumeAllocationRequest
) -> ExperimentAnswer:
    """Let the bandit move weights again that were held by hand."""
    return experiment_answer(
        service.release(session, clock, actor=principal.actor, key=key, reason=request.reason)
    )


# Without a body, as `start` and `stop` are asked for: the winner of the report's decision.
THE_WINNER: Final = ShipRequest()


def _newest(
    wiring: WiringOf, _principal: Writer, key: Key, request: ShipRequest = THE_WINNER
) -> StoredReport:
    # Before the transaction of the write: what takes long only reads.
    return shipping.report_to_ship_by(
        wiring.database, wiring.clock, key=key, force=request.force, facts=wiring.facts
    )


@router.post("/{key}/ship")
def ship(
    newest: Annotated[StoredReport, Depends(_newest)],
    session: WriteSession,
    clock: ClockOf,
    principal: Writer,
    key: Key,
    request: ShipRequest = THE_WINNER,
) -> ExperimentAnswer:
    """Give the winner to the rest of the audience and to everybody who comes; a variant without message ends the messaging."""
    decision = newest.body["decision"]
    shipped, _ = shipping.ship(
        session, clock, actor=principal.actor, key=key, decision=decision, as_of=newest.as_of, **dict(request)
    )
    return experiment_answer(shipped)


@router.post("/{key}/variants", status_code=201)
def add_variant(
    session: WriteSession,
    clock: ClockOf,
    settings: SettingsOf,
    principal: Writer,
    key: Key,
    request: AddVariantRequest,
) -> EpochAnswer:
    """Add a variant while the experiment runs: some of those who are assigned from now on get it, nobody moves."""
    epoch = campaigning.add_variant(
        session, clock, settings=settings, actor=principal.actor, key=key, **dict(request)
    )
    return EpochAnswer.of(epoch)


@router.post("/{key}/variants/{variant}/retire")
def retire_variant(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, variant: Key, request: RetireRequest
) -> RetiredAnswer:
    """Give a variant nobody new; whoever has it keeps it. What is planned for them is kept or cancelled, as `planned` says."""
    epoch, cancelled = planner.retire(
        session,
        clock,
        actor=principal.actor,
        key=key,
        variant=variant,
        reason=request.reason,
        cancel=request.planned == Planned.CANCEL,
    )
    return RetiredAnswer(epoch=EpochAnswer.of(epoch), cancelled=cancelled)


@router.post("/{key}/variants/{variant}/release")
def release_variant(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, variant: Key, request: ReleaseRequest
) -> ReleasedAnswer:
    """Let a variant go on that a guardrail has stopped, with the share it had. What was cancelled stays so, unless `planned` is restore."""
    epoch, restored = planner.release(
        session,
        clock,
        actor=principal.actor,
        key=key,
        variant=variant,
        reason=request.reason,
        restore=request.planned == Cancelled.RESTORE,
    )
    return ReleasedAnswer(**EpochAnswer.of(epoch).model_dump(), restored=restored)
