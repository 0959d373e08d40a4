"""Experiments: design, life, messages. Their reports are in `reports.py`."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query

from api import campaigning
from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    SettingsOf,
    Writer,
    WriteSession,
    next_cursor,
)
from api.experiment_schemas import EnrolmentAnswer, EpochAnswer, RampRequest, WeightsRequest
from api.idempotency import IdempotentRoute
from api.openapi import CAMPAIGN_BODY
from api.presenting import experiment_answer
from api.schemas import AppliedAnswer, ExperimentAnswer, MessageAnswer, Page
from delivery.planning import planner
from delivery.watch import summary
from experiments import repository, service
from experiments.vocabulary import ExperimentStatus, MessageState
from targeting import campaigns

router = APIRouter(
    prefix="/v1/experiments", tags=["experiments"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
EXAMPLES: Final = {
    "spring": {
        "summary": "Three arms, one of them silent",
        "value": {
            "key": "spring-wakeup",
            "name": "Wake up customers who have gone quiet",
            "audience": {
                "condition": {"country": {"$in": ["NL", "BR"]}, "last_order_at": {"$olderThan": "60d"}}
            },
            "variants": [
                {"key": "silence", "control": True, "weight": 1},
                {"key": "coupon", "weight": 1, "message": {"template": "spring_coupon", "language": "en_US"}},
            ],
            "metrics": [
                {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
            ],
        },
    }
}
Key = Annotated[CleanText, Path(min_length=1, max_length=64)]
Document = Annotated[
    dict[str, Any],
    Body(
        description="A campaign: the document that `touchstone apply` reads, as JSON",
        openapi_examples=EXAMPLES,
    ),
]


@router.post("", status_code=201, openapi_extra={"requestBody": CAMPAIGN_BODY})
def create(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, principal: Writer, document: Document
) -> ExperimentAnswer:
    """Store a new draft."""
    made, warnings = campaigning.create(
        session, clock, settings=settings, actor=principal.actor, document=document
    )
    return experiment_answer(made, warnings)


@router.get("")
def list_experiments(
    session: ReadSession,
    _principal: Reader,
    cursor: Cursor,
    limit: Limit = 50,
    status: Annotated[ExperimentStatus | None, Query()] = None,
) -> Page[ExperimentAnswer]:
    """All experiments, oldest first."""
    rows = repository.list_experiments(session, after_id=cursor, limit=limit, status=status)
    return Page(
        items=[experiment_answer(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{key}")
def read(session: ReadSession, _principal: Reader, key: Key) -> ExperimentAnswer:
    """One experiment with its design."""
    return experiment_answer(repository.get_experiment(session, key))


@router.put("/{key}", openapi_extra={"requestBody": CAMPAIGN_BODY})
def apply(
    session: WriteSession,
    clock: ClockOf,
    settings: SettingsOf,
    principal: Writer,
    key: Key,
    document: Document,
) -> AppliedAnswer:
    """Create the experiment, redesign it while it is a draft, or find it unchanged."""
    applied, warnings = campaigning.apply(
        session, clock, settings=settings, actor=principal.actor, key=key, document=document
    )
    answer = experiment_answer(applied.experiment, warnings)
    return AppliedAnswer(outcome=applied.outcome, experiment=answer)


@router.post("/{key}/start")
def start(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, principal: Writer, key: Key
) -> ExperimentAnswer:
    """Begin: enrolment starts at the trigger's moment. Refused when nobody is in the audience, or a template is not approved."""
    started, warnings = campaigning.start(session, clock, settings=settings, actor=principal.actor, key=key)
    return experiment_answer(started, warnings)


@router.post("/{key}/pause")
def pause(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> ExperimentAnswer:
    """Enrol and send nothing until resumed."""
    return experiment_answer(campaigns.pause(session, clock, actor=principal.actor, key=key))


@router.post("/{key}/resume")
def resume(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> ExperimentAnswer:
    """Go on after a pause."""
    return experiment_answer(campaigns.resume(session, clock, actor=principal.actor, key=key))


@router.post("/{key}/stop")
def stop(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> ExperimentAnswer:
    """End for good; messages that have not gone out are cancelled."""
    return experiment_answer(planner.stop(session, clock, actor=principal.actor, key=key))


@router.post("/{key}/ramp")
def ramp(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: RampRequest
) -> ExperimentAnswer:
    """Raise the coverage while it runs: some join, nobody moves. Lowering it is refused."""
    return experiment_answer(
        campaigns.ramp(session, clock, actor=principal.actor, key=key, coverage=request.coverage)
    )


@router.post("/{key}/weights")
def set_weights(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: WeightsRequest
) -> EpochAnswer:
    """Other weights for users who are assigned from now on; whoever is assigned keeps the variant."""
    epoch = service.set_weights(session, clock, actor=principal.actor, key=key, **dict(request))
    return EpochAnswer.of(epoch)


@router.get("/{key}/enrolment")
def enrolment(session: ReadSession, _principal: Reader, key: Key) -> EnrolmentAnswer:
    """How many of the audience were assigned, and why the others were not."""
    walked, by_rule = campaigns.enrolment_of(session, key=key), campaigns.counts_by_rule(session, key=key)
    return EnrolmentAnswer.of(walked, by_rule)


@router.get("/{key}/messages")
def messages(
    session: ReadSession,
    _principal: Reader,
    key: Key,
    cursor: Cursor,
    limit: Limit = 50,
    state: Annotated[MessageState | None, Query()] = None,
) -> Page[MessageAnswer]:
    """The outbox of one experiment."""
    rows = summary.messages_of(session, key=key, after_id=cursor, limit=limit, state=state)
    return Page(
        items=[MessageAnswer.model_validate(row, from_attributes=True) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )
