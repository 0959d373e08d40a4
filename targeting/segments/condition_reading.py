"""A condition as somebody sent it, read against what is known: its JSON, its text, its English, and what may be wrong."""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from targeting.conditions import describe
from targeting.conditions.advice import unknown_attributes
from targeting.conditions.needs import expand_segments
from targeting.conditions.text import condition_of, print_text
from targeting.segments.attributes import known_names
from targeting.segments.repository import conditions_by_key


@dataclass(frozen=True, slots=True)
class Reading:
    """One condition in three forms."""

    condition: dict[str, Any]
    text: str
    english: str
    warnings: tuple[str, ...]


def read(session: Session, *, condition: Any, field: str = "condition") -> Reading:
    """Read a condition sent as JSON or as text.

    Raises Invalid with every problem and its path, or when it names a segment that does not exist.
    """
    found = condition_of(condition, field=field)
    check_segments(session, condition=found, field=field)
    return Reading(found, print_text(found), describe(found), warnings_about(session, condition=found))


def check_segments(session: Session, *, condition: dict[str, Any], field: str) -> None:
    """Raises Invalid with the path of the first segment that does not exist, or that leads back to itself."""
    expand_segments(condition, conditions_by_key(session), field=field)


def warnings_about(session: Session, *, condition: dict[str, Any]) -> tuple[str, ...]:
    """What may be wrong with a valid condition: attributes that no user is known to have."""
    return tuple(unknown_attributes(condition, known_names(session)))
