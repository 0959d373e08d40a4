"""What the registry of message templates says: how it stands, which templates there are, and whether a campaign fits them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.content import content_repository
from delivery.models import Template
from delivery.templates import template_repository as repository
from delivery.templates.template_checks import Findings, Known, check_message
from experiments import content
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, NotFound, Problem
from experiments.settings import Settings
from experiments.treatments import MessageContent
from experiments.vocabulary import Category

NEVER: Final = (
    "the templates were never synchronised with WhatsApp, so nothing about them could be checked; "
    "run `touchstone templates sync`"
)


@dataclass(frozen=True, slots=True)
class State:
    """How the registry stands: when it was last in line with WhatsApp's list, and what went wrong since."""

    synced_at: datetime | None
    error: str | None


def state_of(session: Session, *, settings: Settings) -> State:
    """How the registry stands for the account of these settings."""
    last = repository.last_sync(session, settings.whatsapp_business_account_id)
    return State(None, None) if last is None else State(last.synced_at, last.error)


def languages_of(session: Session, *, name: str) -> Sequence[Template]:
    """A template in each of its languages, those that are gone included. Raises NotFound."""
    rows = repository.named(session, [name])
    if not rows:
        raise NotFound(f"the registry has no template {name!r}; synchronise it if WhatsApp has", field="name")
    return rows


def known(row: Template) -> Known:
    """A row of the registry as a value."""
    return Known(
        name=row.name,
        language=row.language,
        category=row.category.lower(),
        status=row.status.upper(),
        quality=row.quality,
        parameter_format=row.parameter_format,
        components=row.components,
        gone=row.gone_at is not None,
    )


def check_campaign(
    session: Session, design: ExperimentDesign, *, settings: Settings, starting: bool
) -> tuple[str, ...]:
    """Compare the messages of a campaign with the registry, with the content sources of the settings, and with events.

    Returns what may be wrong, one line each. Raises Invalid with paths such as `variants[1].message.parameters` for what
    WhatsApp would refuse; `starting`: also for templates that are not there, or not approved. A variant that was made from
    factors is named in the path, since the author did not write it: `variants["coupon.evening"].message`.
    """
    messages = list(_messages(design))
    problems = [
        problem for field, message in messages for problem in unknown_sources(message, field, settings)
    ]
    doubts = _unseen_events(session, messages)
    names = {message.template for _, message in messages if message.template is not None}
    warnings: list[str] = []
    if names and not repository.ever_synced(session):
        warnings.append(NEVER)
    elif names:
        rows = [known(row) for row in repository.named(session, names)]
        for field, message in messages:
            found = _compared(message, rows, design, field, settings, starting=starting)
            problems += found.problems
            doubts += found.doubts
    if problems:
        raise Invalid.of(problems)
    return (*warnings, *(str(doubt) for doubt in doubts))


def _compared(
    message: MessageContent,
    rows: Sequence[Known],
    design: ExperimentDesign,
    field: str,
    settings: Settings,
    *,
    starting: bool,
) -> Findings:
    return check_message(
        message,
        [row for row in rows if row.name == message.template],
        category=design.category,
        field=field,
        starting=starting,
        clicks_at=_clicks_at(settings),
    )


def _messages(design: ExperimentDesign) -> Iterator[tuple[str, MessageContent]]:
    """The path of each message, and the message."""
    for index, variant in enumerate(design.variants):
        if variant.message is not None:
            place = f'"{variant.key}"' if design.factors else str(index)
            yield f"variants[{place}].message", variant.message


def warnings_about(session: Session, message: MessageContent, *, settings: Settings) -> tuple[str, ...]:
    """What may be wrong with one message by itself, whatever the category of its campaign."""
    if message.template is None:
        return ()
    if not repository.ever_synced(session):
        return (NEVER,)
    rows = [known(row) for row in repository.named(session, [message.template])]
    categories = {row.category for row in rows} & set(Category)
    found = check_message(
        message,
        rows,
        category=Category(min(categories, default=Category.MARKETING)),
        field="message",
        starting=False,
        clicks_at=_clicks_at(settings),
    )
    return tuple(str(problem) for problem in (*found.problems, *found.doubts))


def _clicks_at(settings: Settings) -> str:
    return f"{settings.public_url.rstrip('/')}/r/"


def unknown_sources(message: MessageContent, field: str, settings: Settings) -> Iterator[Problem]:
    """Content sources that a message reads and the settings do not have."""
    there = ", ".join(sorted(settings.content)) or "none"
    for path, source in message.sources().items():
        for name in content.used_sources(source):
            if name not in settings.content:
                yield Problem(
                    f"{field}.{path}", f"there is no content source {name!r}; TOUCHSTONE_CONTENT has {there}"
                )


def _unseen_events(session: Session, messages: Sequence[tuple[str, MessageContent]]) -> list[Problem]:
    """Events that nobody has ever done: most likely misspelt, or not yet tracked."""
    used = [
        (f"{field}.{path}", name)
        for field, message in messages
        for path, source in message.sources().items()
        for name in content.used_events(source)
    ]
    seen = content_repository.events_ever(session, {name for _, name in used})
    return [
        Problem(field, f"nobody has ever done {name!r}, so this cannot be written for anybody yet")
        for field, name in used
        if name not in seen
    ]
