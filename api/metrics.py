"""Numbers for Prometheus, in its text format 0.0.4: what is counted and how it is written. `docs/operations.md` names them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.watch.operations import Operations, Overview
from delivery.watch.summary import Summary
from experiments.vocabulary import MessageState
from targeting.rules import repository as rule_repository

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]
Gauge = tuple[str, str, Iterable[Sample]]


def exposition(session: Session, seen: Overview) -> str:
    """Every gauge, with a line for each state of each started experiment, also where it is 0."""
    gauges = [
        *_of_messages(seen.summary),
        *_of_sending(seen),
        *_of_the_number(seen.now),
        *_of_the_inbox(seen),
        *_of_the_books(seen),
        (
            "touchstone_rules_parked",
            "Rules that failed and stand still until somebody enables them again.",
            [({}, rule_repository.count_parked(session))],
        ),
        (
            "touchstone_rule_occasions_waiting",
            "Events and changes that rules have not looked at yet.",
            [({}, rule_repository.count_pending(session))],
        ),
    ]
    return "".join(_gauge(*gauge) for gauge in gauges)


def _of_messages(summary: Summary) -> Iterator[Gauge]:
    counts = {part.experiment: Counter[str]() for part in summary.experiments}
    for part in summary.experiments:
        for variant in part.variants:
            counts[part.experiment].update(variant.states)
    yield (
        "touchstone_messages",
        "Messages of an experiment that are in a state.",
        [
            ({"experiment": key, "state": state}, states[state])
            for key, states in counts.items()
            for state in MessageState
        ],
    )


def _of_sending(seen: Overview) -> Iterator[Gauge]:
    now, queue = seen.now, seen.now.queue
    yield (
        "touchstone_queue",
        "Planned messages: due now or later, or of paused experiments.",
        [({"when": when}, getattr(queue, when)) for when in ("due", "later", "paused")],
    )
    yield (
        "touchstone_oldest_due_age_seconds",
        "How long the oldest message of a running experiment has been due; 0 when none is.",
        [({}, _age(queue.oldest, seen.at))],
    )
    yield (
        "touchstone_accepted_per_minute",
        "Messages that went out and were not refused, per minute, over the last minutes.",
        [({"minutes": minutes}, rate) for minutes, rate in now.accepted_per_minute.items()],
    )
    errors: Counter[tuple[str, str]] = Counter()
    for failure in now.failures:
        errors[failure.error.error_class, str(failure.error.code or "")] += failure.messages
    yield (
        "touchstone_failures",
        "Messages that failed, wait or ended because of an error, by its class and WhatsApp's code.",
        [({"error_class": kind, "code": code}, number) for (kind, code), number in sorted(errors.items())],
    )
    opened = Counter(breaker.kind for breaker in now.breakers)
    yield (
        "touchstone_breakers_open",
        "Open fuses; while one is, messages are held back.",
        [({"kind": kind}, opened[kind]) for kind in breakers.Kind],
    )
    yield ("touchstone_paused", "1 while everything is paused.", [({}, int(now.paused))])
    yield ("touchstone_workers_alive", "Processes that send.", [({}, len(now.workers))])


def _of_the_number(now: Operations) -> Iterator[Gauge]:
    yield (
        "touchstone_unique_users",
        "People written to in the last 24 hours.",
        [({}, now.tier.unique_users)],
    )
    if now.tier.limit is not None:
        yield (
            "touchstone_unique_users_limit",
            "How many people may be written to in 24 hours.",
            [({}, now.tier.limit)],
        )
    if now.number.quality is not None:
        yield (
            "touchstone_number_quality",
            "1 for the quality that WhatsApp last gave the number.",
            [({"quality": now.number.quality}, 1)],
        )


def _of_the_inbox(seen: Overview) -> Iterator[Gauge]:
    inbox = seen.now.inbox
    yield (
        "touchstone_webhooks_waiting",
        "Webhooks that came in and of which nothing has been made yet.",
        [({}, inbox.waiting)],
    )
    yield (
        "touchstone_webhooks_oldest_age_seconds",
        "How long the oldest of them has waited; 0 when none does.",
        [({}, _age(inbox.oldest, seen.at))],
    )
    yield (
        "touchstone_webhooks_unmatched",
        "Webhooks that wait for a message that is not known yet.",
        [({}, inbox.unmatched)],
    )
    yield (
        "touchstone_webhooks_errors",
        "Webhooks that nothing could be made of; they are kept.",
        [({}, inbox.errors)],
    )


def _of_the_books(seen: Overview) -> Iterator[Gauge]:
    books = seen.now.books
    yield (
        "touchstone_books_broken",
        "1 when slots and messages of an experiment differed when last checked.",
        [({"experiment": kept.experiment}, int(kept.broken_at is not None)) for kept in books],
    )
    yield (
        "touchstone_books_age_seconds",
        "How long ago the books of an experiment were last checked.",
        [({"experiment": kept.experiment}, _age(kept.checked_at, seen.at)) for kept in books],
    )


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())


def _gauge(name: str, words: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
