"""Campaigns as people bring them, by HTTP or from a terminal: the design, its audience, and the templates it names.

`targeting.campaigns` cannot know of templates, which are a floor above; so both ways in come here.
"""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from delivery.templates import registry as templates
from experiments.clock import Clock
from experiments.errors import Invalid, Problem
from experiments.models import Epoch, Experiment
from experiments.service import design_of
from experiments.settings import Settings
from experiments.vocabulary import ExperimentStatus
from targeting import campaigns
from targeting.campaigns import Applied

Warnings = tuple[str, ...]


def create(
    session: Session, clock: Clock, *, settings: Settings, actor: str, document: Mapping[str, Any]
) -> tuple[Experiment, Warnings]:
    """`campaigns.create`; also raises Invalid for messages that do not fit their templates."""
    made = campaigns.create(session, clock, actor=actor, document=document)
    return made, _warnings(session, made, settings)


def apply(
    session: Session,
    clock: Clock,
    *,
    settings: Settings,
    actor: str,
    document: Mapping[str, Any],
    key: str | None = None,
) -> tuple[Applied, Warnings]:
    """`campaigns.apply`; also raises Invalid for messages of a draft that do not fit their templates."""
    applied = campaigns.apply(session, clock, actor=actor, document=document, key=key)
    return applied, _warnings(session, applied.experiment, settings)


def start(
    session: Session, clock: Clock, *, settings: Settings, actor: str, key: str
) -> tuple[Experiment, Warnings]:
    """`campaigns.start`; also raises Invalid for templates that are not there, or not approved."""
    started = campaigns.start(session, clock, actor=actor, key=key)
    return started, templates.check_campaign(session, design_of(started), settings=settings, starting=True)


def add_variant(
    session: Session,
    clock: Clock,
    *,
    settings: Settings,
    actor: str,
    key: str,
    variant: Mapping[str, Any],
    share: float | None,
    reason: str,
) -> Epoch:
    """`campaigns.add_variant`; returns the epoch. Also raises Invalid for a template that is not there, or not approved."""
    experiment, epoch = campaigns.add_variant(
        session, clock, actor=actor, key=key, variant=variant, share=share, reason=reason
    )
    design = design_of(experiment)
    alone = design.model_copy(update={"variants": design.variants[-1:], "factors": ()})
    try:
        templates.check_campaign(session, alone, settings=settings, starting=True)
    except Invalid as error:
        raise Invalid.of(
            [
                Problem(each.field.replace("variants[0]", "variant", 1), each.message)
                for each in error.problems
            ]
        ) from error
    return epoch


def _warnings(session: Session, experiment: Experiment, settings: Settings) -> Warnings:
    about_audience = campaigns.warnings_of(session, experiment)
    try:
        found = templates.check_campaign(session, design_of(experiment), settings=settings, starting=False)
    except Invalid as error:
        if experiment.status == ExperimentStatus.DRAFT:
            raise
        # It was found unchanged, and cannot be changed any more.
        found = tuple(str(problem) for problem in error.problems)
    return (*about_audience, *found)
