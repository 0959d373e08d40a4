"""What travels over HTTP of the installation at a glance, and of experiments in a list."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from api.overviewing import Alert, AlertKind, Card, Glance
from api.schemas import Page
from delivery.limits.policy import CategoryCaps
from delivery.watch.today import Today
from experiments.stopped_arms import stopped_arms
from experiments.vocabulary import ExperimentStatus


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class AlertAnswer(_Answer):
    """`subject`: the variant, fuse or stage that it is about. `detail`: the reason in words (of a guardrail that is broken the metric;
    of messages and rules how many). `at`: since when.
    """

    kind: AlertKind
    severity: Literal["red", "amber"]
    experiment: str | None
    name: str | None
    subject: str | None
    detail: str
    at: datetime | None

    @classmethod
    def of(cls, alert: Alert) -> Self:
        return cls.model_validate(alert)


class CardAnswer(_Answer):
    """`report`: of the newest kept report the arms, the health checks, the primary metric and the decision, in the report's own shape;
    null when there is none. `report_old`: another should have been made by now.
    """

    key: str
    name: str
    status: ExperimentStatus
    category: str
    policy: str = Field(description="fixed, thompson or top_two: who decides on the weights")
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    held_at: datetime | None
    shipped: str | None
    stopped_variants: list[str] = Field(description="Variants that a guardrail has stopped")
    report: dict[str, Any] | None
    report_old: bool

    @classmethod
    def of(cls, card: Card) -> Self:
        experiment, newest = card.experiment, card.newest
        document = None
        if newest is not None:
            document = {"id": newest.report_id, "as_of": newest.as_of, **newest.document}
        return cls(
            category=str(experiment.definition.get("category", "")),
            policy=str((experiment.definition.get("allocation") or {}).get("policy", "fixed")),
            stopped_variants=sorted(stopped_arms(experiment)),
            report=document,
            report_old=card.old,
            **{
                name: getattr(experiment, name)
                for name in (
                    "key", "name", "status", "created_at", "started_at", "stopped_at", "held_at", "shipped",
                )
            },
        )  # fmt: skip


class CardsAnswer(Page[CardAnswer]):
    """`counts`: experiments in each state, by the same search, whatever `status` asks for."""

    counts: dict[str, int]


class TodayAnswer(_Answer):
    """Delivery in the last 24 hours. `people_limit`: null, when no bound is known. `marketing`: how often one person may be written to."""

    at: datetime
    messages: int
    people: int
    people_limit: int | None
    marketing: CategoryCaps
    due: int
    oldest_due: datetime | None
    workers: int
    quality: str | None
    paused: bool

    @classmethod
    def of(cls, seen: Today) -> Self:
        return cls.model_validate(seen)


class OverviewAnswer(_Answer):
    """`alerts`: red ones first. `live`: the newest experiments that run or are paused. `not_looked_at`: live experiments beyond the
    newest 200, whose reports raise no alerts here.
    """

    at: datetime
    alerts: list[AlertAnswer]
    alerts_left_out: int
    live: list[CardAnswer]
    not_looked_at: int
    counts: dict[str, int]
    delivery: TodayAnswer

    @classmethod
    def of(cls, found: Glance) -> Self:
        return cls(
            at=found.at,
            alerts=[AlertAnswer.of(alert) for alert in found.alerts],
            alerts_left_out=found.alerts_left_out,
            live=[CardAnswer.of(card) for card in found.live],
            not_looked_at=found.not_looked_at,
            counts=dict(found.counts),
            delivery=TodayAnswer.of(found.today),
        )
