"""Numbers for Prometheus, in its text format 0.0.4: what is counted and how it is written."""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlmodel import Session

from delivery import breakers
from delivery import summary_repository as repository
from experiments.clock import Clock
from experiments.vocabulary import MessageState
from targeting.rules import repository as rule_repository

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


def exposition(session: Session, clock: Clock) -> str:
    """Every gauge, with a line for each state of each started experiment, also where it is 0. Call it in a snapshot."""
    counts = repository.messages_by_state(session)
    started = [experiment.key for experiment in repository.started_experiments(session)]
    oldest = repository.queue(session, now=clock.now()).oldest
    opened = [breaker.kind for breaker in breakers.open_breakers(session, clock)]
    return "".join(
        (
            _gauge(
                "touchstone_messages",
                "Messages of an experiment that are in a state.",
                (
                    ({"experiment": key, "state": state}, counts.get((key, state), 0))
                    for key in started
                    for state in MessageState
                ),
            ),
            _gauge(
                "touchstone_webhooks_waiting",
                "Webhooks that came in and of which nothing has been made yet.",
                [({}, repository.webhooks_waiting(session))],
            ),
            _gauge(
                "touchstone_oldest_due_age_seconds",
                "How long the oldest message of a running experiment has been due; 0 when none is.",
                [({}, 0.0 if oldest is None else (clock.now() - oldest).total_seconds())],
            ),
            _gauge(
                "touchstone_breakers_open",
                "Open fuses; while one is, messages are held back.",
                (({"kind": kind}, opened.count(kind)) for kind in breakers.Kind),
            ),
            _gauge(
                "touchstone_rules_parked",
                "Rules that failed and stand still until somebody enables them again.",
                [({}, rule_repository.count_parked(session))],
            ),
            _gauge(
                "touchstone_rule_occasions_waiting",
                "Events and changes that rules have not looked at yet.",
                [({}, rule_repository.count_pending(session))],
            ),
        )
    )


def _gauge(name: str, words: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
