"""The steps of the wizard, and the step that a field of a campaign belongs to. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.campaign.documents import at, path_of, written

STEPS: Final = ("audience", "variants", "metrics", "plan", "review")
_STEP_OF: Final = {
    "key": "audience",
    "name": "audience",
    "hypothesis": "audience",
    "category": "audience",
    "priority": "audience",
    "audience": "audience",
    "trigger": "audience",
    "treatment": "variants",
    "factors": "variants",
    "variants": "variants",
    "metrics": "metrics",
    "plan": "plan",
    "allocation": "plan",
    "assumptions": "plan",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """What the API says is wrong, and the field: `variants[1].weight`."""

    field: str
    message: str


def mistakes_of(problems: Iterable[tuple[str, str]]) -> list[Mistake]:
    """The API's problems as mistakes of the document: a plan names its fields `campaign.variants[1]`."""
    return [Mistake(field.removeprefix("campaign."), message) for field, message in problems]


def step_of(field: str) -> str:
    """The step in which a field is filled in; what no step has is shown in the review.

    >>> step_of("variants[1].weight"), step_of("expires.at")
    ('variants', 'review')
    """
    path = path_of(field)
    return _STEP_OF.get(str(path[0]), "review") if path else "review"


def by_step(mistakes: Sequence[Mistake]) -> Mapping[str, list[Mistake]]:
    """Every step with its mistakes."""
    return {step: [each for each in mistakes if step_of(each.field) == step] for step in STEPS}


def is_touched(mistake: Mistake, field: str) -> bool:
    """Whether a change of a field leaves open if a mistake is still one: it is about the field, or about what the field is in.

    >>> is_touched(Mistake("variants[1].message", "give a template"), "variants[1].message.template")
    True
    """
    return is_about(mistake, field) or (bool(mistake.field) and is_about(Mistake(field, ""), mistake.field))


def is_about(mistake: Mistake, field: str) -> bool:
    """Whether a mistake is about a field of the form: the field itself, or something inside of it."""
    return mistake.field == field or mistake.field.startswith((f"{field}.", f"{field}["))


def place_of(document: Mapping[str, Any], field: str) -> str:
    """A field as people know it: a row of variants, metrics or factors by its key instead of its number, where it has one.

    >>> place_of({"variants": [{"key": "silence"}, {"key": "coupon"}]}, "variants[1].message.link")
    'coupon.message.link'
    """
    path = path_of(field)
    key = at(document, (*path[:2], "key")) if len(path) > 1 and isinstance(path[1], int) else None
    return written((key, *path[2:])) if isinstance(key, str) and key else field


def beside(step: str, by: int) -> str | None:
    """The step so many further on; None where there is none.

    >>> beside("audience", 1), beside("audience", -1)
    ('variants', None)
    """
    index = STEPS.index(step) + by
    return STEPS[index] if 0 <= index < len(STEPS) else None
