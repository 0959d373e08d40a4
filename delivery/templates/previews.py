"""What a message would say to real users: its words filled into the template, or the variable that is missing.

Never sends and never writes, and reads no phone number. Some users are shown; a larger draw is only counted, so that one
learns how many could not be written to. Content sources are asked for those who are shown and for nobody else: a message
that reads one is counted over them alone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlmodel import Session

from delivery.content import content_repository
from delivery.content.content_sources import ContentSources, Wanted
from delivery.content.ingredients import NOTHING_FETCHED, Fetched, LatestEvent
from delivery.content.readable import ContentUnavailable
from delivery.content.rendering import WINDOW, Written, events_needed, sources_needed, write
from delivery.templates import preview_repository
from delivery.templates import registry as templates
from delivery.templates import template_repository as repository
from delivery.templates.preview_repository import Reader
from delivery.templates.shown import Shown, filled
from delivery.templates.template_checks import Known
from delivery.templates.template_shapes import Shape, read_shape
from experiments import content as contents
from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid, NotFound, Problem
from experiments.service import design_of
from experiments.settings import Settings
from experiments.treatments import MessageContent
from targeting.segments import preview as audience_previews

MOST_SHOWN: Final = 50
COUNTED: Final = 1000
REASONS: Final = 10
UNNAMED: Final = "preview"
"""Key of experiment and variant for a message that belongs to none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to preview: a message, and in which experiment and variant it is."""

    message: MessageContent
    experiment: str
    variant: str


@dataclass(frozen=True, slots=True)
class Preview:
    """`users`: what each would read. Of `checked` users `failed` cannot be written to, most for the first of `reasons`."""

    users: tuple[Shown, ...]
    checked: int
    failed: int
    reasons: tuple[tuple[Problem, int], ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """All that is read before anything is rendered: `shapes` are what the template declares, by language."""

    asked: Asked
    people: Sequence[Reader]
    events: Mapping[int, Mapping[str, LatestEvent]]
    shapes: Mapping[str, Shape | None]
    warnings: tuple[str, ...]
    now: datetime


def preview(
    database: Database,
    clock: Clock,
    *,
    settings: Settings,
    rng: np.random.Generator,
    message: MessageContent | None = None,
    experiment: str | None = None,
    variant: str | None = None,
    condition: dict[str, Any] | str | None = None,
    user_ids: Sequence[str] = (),
    sample: int = 5,
    seen: Callable[[Any], Any] | None = None,
) -> Preview:
    """Write `message`, or that of a variant of an experiment, to a sample of users, or to those of `user_ids`.

    `seen`: of what is known of a user (attributes, properties of events, content) what the one who asks may see. The message is
    written with that, for whoever writes messages could have them say anything in other words.

    Without a condition the users are those of the experiment's audience, or any. Raises Invalid with the path of what is
    wrong (also of a message that no design would take), or NotFound.
    """
    if not 1 <= sample <= MOST_SHOWN:
        raise Invalid(f"is a number from 1 to {MOST_SHOWN}", field="sample")
    if user_ids and condition is not None:
        raise Invalid("give user ids or a condition", field="user_ids")
    with database.snapshot() as session:
        asked, audience = _asked(session, message, experiment, variant)
        _check_sources(asked.message, settings)
        if user_ids:
            people = _named(session, user_ids)
        else:
            people = _drawn(session, clock, audience if condition is None else condition, rng)
        names = events_needed(asked.message)
        material = Material(
            asked=asked,
            people=people,
            events=content_repository.latest_events(session, [reader.id for reader in people], names),
            shapes=shapes_of(session, asked.message),
            warnings=templates.warnings_about(session, asked.message, settings=settings),
            now=clock.now(),
        )
    if seen is not None:
        material = as_seen(material, seen)
    return _written(material, settings, shown=len(user_ids) or sample, seen=seen)


def as_seen(material: Material, seen: Callable[[Any], Any]) -> Material:
    """What of it somebody may see, of whom `seen` says what of attributes and properties."""
    return replace(
        material,
        people=[reader._replace(attributes=seen(reader.attributes)) for reader in material.people],
        events={
            user: {name: replace(event, properties=seen(event.properties)) for name, event in latest.items()}
            for user, latest in material.events.items()
        },
    )


def _asked(
    session: Session, message: MessageContent | None, experiment: str | None, variant: str | None
) -> tuple[Asked, dict[str, Any]]:
    """What is asked for, and the condition of its audience."""
    if message is not None:
        if experiment is not None or variant is not None:
            raise Invalid("give a message, or an experiment and its variant", field="message")
        problems = [
            problem
            for path, source in message.sources().items()
            for problem in contents.problems_in(source, field=f"message.{path}")
        ]
        if problems:
            raise Invalid.of(problems)
        return Asked(message, UNNAMED, UNNAMED), {}
    if experiment is None or variant is None:
        raise Invalid("give a message, or an experiment and its variant", field="message")
    design = design_of(experiment_repository.get_experiment(session, experiment))
    chosen = next((each for each in design.variants if each.key == variant), None)
    if chosen is None:
        keys = ", ".join(each.key for each in design.variants)
        raise NotFound(f"the experiment has no variant {variant!r}; it has {keys}", field="variant")
    if chosen.message is None:
        raise Invalid(f"the variant {variant!r} is silent: it has no message", field="variant")
    return Asked(chosen.message, experiment, variant), design.audience.condition


def _check_sources(message: MessageContent, settings: Settings) -> None:
    problems = list(templates.unknown_sources(message, "message", settings))
    if problems:
        raise Invalid.of(problems)


def _named(session: Session, user_ids: Sequence[str]) -> list[Reader]:
    if len(user_ids) > MOST_SHOWN:
        raise Invalid(f"names {len(user_ids)} users; {MOST_SHOWN} are shown at most", field="user_ids")
    found = preview_repository.readers_by_id(session, user_ids)
    problems = [
        Problem(f"user_ids[{index}]", f"there is no user {user_id!r}")
        for index, user_id in enumerate(user_ids)
        if user_id not in found
    ]
    if problems:
        raise Invalid.of(problems)
    return [found[user_id] for user_id in dict.fromkeys(user_ids)]


def _drawn(
    session: Session, clock: Clock, condition: dict[str, Any] | str, rng: np.random.Generator
) -> list[Reader]:
    found = audience_previews.preview(session, clock, condition=condition, rng=rng, sample=COUNTED)
    drawn = [user.id for user in found.sample]
    return preview_repository.readers(session, [drawn[place] for place in rng.permutation(len(drawn))])


def shapes_of(session: Session, message: MessageContent) -> dict[str, Shape | None]:
    """What the template declares, by language."""
    if message.template is None:
        return {}
    rows: list[Known] = [templates.known(row) for row in repository.named(session, [message.template])]
    return {
        row.language: read_shape(row.components, parameter_format=row.parameter_format)
        for row in rows
        if not row.gone
    }


def _written(
    material: Material, settings: Settings, *, shown: int, seen: Callable[[Any], Any] | None
) -> Preview:
    message = material.asked.message
    sources = sources_needed(message)
    people = material.people[:shown] if sources else material.people
    fetched = _fetch(people, sources, settings) if sources else {}
    if seen is not None:
        fetched = {user: replace(each, values=seen(each.values)) for user, each in fetched.items()}
    written = [
        show_to(material, reader, fetched.get(reader.id, NOTHING_FETCHED), settings) for reader in people
    ]
    reasons = Counter(each.error for each in written if each.error is not None)
    return Preview(
        users=tuple(written[:shown]),
        checked=len(written),
        failed=sum(reasons.values()),
        reasons=tuple(reasons.most_common(REASONS)),
        warnings=material.warnings,
    )


def _fetch(people: Sequence[Reader], sources: frozenset[str], settings: Settings) -> dict[int, Fetched]:
    async def fetch() -> dict[int, Fetched]:
        asking = ContentSources(settings)
        try:
            return await asking.fetch([Wanted(reader.id, reader.user_id, sources) for reader in people])
        finally:
            await asking.close()

    return asyncio.run(fetch())


def show_to(material: Material, reader: Reader, fetched: Fetched, settings: Settings) -> Shown:
    """What one user would read, or why they cannot be written to."""
    asked = material.asked
    window_open = reader.last_inbound_at is not None and reader.last_inbound_at > material.now - WINDOW
    blank = Shown(reader.user_id, window_open=window_open, fallbacks=fetched.fallbacks)
    try:
        written = write(
            asked.message,
            user_id=reader.user_id,
            attributes=reader.attributes,
            time_zone=reader.time_zone,
            locale=reader.locale,
            experiment=asked.experiment,
            variant=asked.variant,
            now=material.now,
            window_open=window_open,
            coupon_secret=settings.coupon_secret.get_secret_value(),
            events=material.events.get(reader.id, {}),
            fetched=fetched,
        )
        return filled(blank, written, asked.message, _shape_for(material, written))
    except ContentUnavailable as error:
        return replace(
            blank, error=Problem(f"content.{error.source}", f"{error.message}; the message would wait")
        )
    except Invalid as error:
        return replace(blank, error=error.problems[0])


def _shape_for(material: Material, written: Written) -> Shape | None:
    """What the template declares in the chosen language; None when the registry has no such template at all."""
    if written.language is None or not material.shapes:
        return None
    if written.language not in material.shapes:
        there = ", ".join(sorted(material.shapes))
        words = f"the template is not there in {written.language}; it is in {there}"
        raise Invalid(words, field="language")
    return material.shapes[written.language]
