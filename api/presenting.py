"""Rows as answers: what of a row is shown, and to whom."""

from collections.abc import Sequence

from api.masking import masked_attributes, without_numbers
from api.models import ApiKey
from api.schemas import (
    AuditAnswer,
    ConsentAnswer,
    ConsentRecordAnswer,
    EventAnswer,
    ExperimentAnswer,
    KeyAnswer,
    MetricAnswer,
    UserAnswer,
)
from api.security import Principal
from experiments.audit import AuditEntry
from experiments.ending import measured_until
from experiments.metrics import MetricDefinition
from experiments.models import Experiment, Metric
from experiments.service import design_of
from experiments.shipping import what_follows
from experiments.vocabulary import Category, ExperimentStatus, Scope
from targeting.models import Consent, ConsentRecord, Event, User


def experiment_answer(experiment: Experiment, warnings: Sequence[str] = ()) -> ExperimentAnswer:
    design = design_of(experiment)
    return ExperimentAnswer(
        key=experiment.key,
        name=experiment.name,
        hypothesis=design.hypothesis,
        category=design.category,
        status=ExperimentStatus(experiment.status),
        created_at=experiment.created_at,
        updated_at=experiment.updated_at,
        started_at=experiment.started_at,
        stopped_at=experiment.stopped_at,
        measured_until=measured_until(experiment, design),
        shipped=experiment.shipped,
        shipped_at=experiment.shipped_at,
        released=experiment.released,
        design=design,
        follows=list(what_follows(experiment)),
        warnings=list(warnings),
    )


def user_answer(user: User, consents: list[Consent], principal: Principal) -> UserAnswer:
    sees_numbers = principal.sees_numbers
    return UserAnswer(
        user_id=user.user_id,
        phone=user.phone if sees_numbers else None,
        has_phone=user.phone is not None,
        time_zone=user.time_zone,
        locale=user.locale,
        attributes=user.attributes if sees_numbers else masked_attributes(user.attributes),
        created_at=user.created_at,
        updated_at=user.updated_at,
        last_seen_at=user.last_seen_at,
        consents=[
            ConsentAnswer(category=Category(row.category), granted=row.granted, changed_at=row.changed_at)
            for row in consents
        ],
    )


def consent_record_answer(row: ConsentRecord, principal: Principal) -> ConsentRecordAnswer:
    return ConsentRecordAnswer(
        category=Category(row.category),
        granted=row.granted,
        at=row.at,
        source=row.source if principal.sees_numbers else without_numbers(row.source),
        evidence=row.evidence if Scope.WRITE in principal.scopes else None,
    )


def event_answer(event: Event, principal: Principal) -> EventAnswer:
    answer = EventAnswer.model_validate(event, from_attributes=True)
    if principal.sees_numbers:
        return answer
    return EventAnswer.model_validate(without_numbers(answer.model_dump(mode="json")))


def audit_answer(entry: AuditEntry, principal: Principal) -> AuditAnswer:
    answer = AuditAnswer.model_validate(entry, from_attributes=True)
    if principal.sees_numbers:
        return answer
    changed = {name: without_numbers(getattr(answer, name)) for name in ("before", "after")}
    return answer.model_copy(update=changed)


def metric_answer(metric: Metric) -> MetricAnswer:
    return MetricAnswer(
        key=metric.key,
        definition=MetricDefinition.model_validate(metric.definition),
        updated_at=metric.updated_at,
    )


def key_answer(key: ApiKey) -> KeyAnswer:
    return KeyAnswer(
        prefix=key.prefix,
        name=key.name,
        scopes=[Scope(scope) for scope in key.scopes],
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )
