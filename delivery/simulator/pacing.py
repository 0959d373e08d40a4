"""Whether a template may go out now: its status, and the verdict that a paced one waits for. See profile.Pacing."""

from dataclasses import dataclass

from delivery.simulator.draws import uniform
from delivery.simulator.graph import GraphError
from delivery.simulator.notices import TITLES_OF_PAUSES, template_quality, template_status
from delivery.simulator.registry import Change, Template

PAUSED, DISABLED, UNKNOWN_TEMPLATE = 132015, 132016, 132001
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """`message_status` as WhatsApp words it; held until `until`, then sent (`fails` None) or failed with that code."""

    message_status: str = "accepted"
    until: int | None = None
    fails: int | None = None


def admit(template: Template, now: int) -> Admission:
    """How a message with this template is taken at `now` (microseconds); raises GraphError when it is not taken."""
    template.settle(now)
    if template.status == "PAUSED":
        if template.pacing is None or template.pacing.paused_answer == "error":
            raise GraphError(PAUSED, "Template is paused due to low quality so it cannot be sent")
        return Admission("paused", now, PAUSED)
    if template.status == "DISABLED":
        raise GraphError(DISABLED, "Template is disabled: it was paused too many times due to low quality")
    if template.status != "APPROVED":
        raise GraphError(UNKNOWN_TEMPLATE, f"template name ({template.name:.60}) is {template.status}")
    if template.verdict is None or template.trusted:
        return Admission()
    until, good = template.verdict
    return Admission("held_for_quality_assessment", until, None if good else PAUSED)


def count(template: Template, now: int, seed: int) -> list[Change]:
    """A message went out at once; returns what will become of the template once the first of a paced one are out."""
    pacing = template.pacing
    if pacing is None or template.trusted or template.verdict is not None:
        return []
    template.sent += 1
    if template.sent < pacing.first:
        return []
    at = now + round(pacing.hold_seconds * _SECOND)
    key = f"{template.name}\0{template.language}\0{template.round}"
    good = uniform(seed, "quality", key) < pacing.good
    template.verdict = (at, good)
    changes = [_praise(template, at)] if good else _blame(template, at, pacing.pause_seconds)
    template.pending.extend(changes)
    return changes


def _praise(template: Template, at: int) -> Change:
    told = at // _SECOND
    notice = template_quality(template, template.quality, "GREEN", told)
    return Change(at, (notice,), quality="GREEN", trusted=True)


def _blame(template: Template, at: int, pause_seconds: float) -> list[Change]:
    told = at // _SECOND
    bad = template_quality(template, template.quality, "RED", told)
    if template.round > len(TITLES_OF_PAUSES):
        end = template_status(
            template, "DISABLED", told, title="DISABLED", text="Your template was disabled."
        )
        return [Change(at, (bad, end), status="DISABLED", quality="RED")]
    pause = pause_seconds * template.round
    back = at + round(pause * _SECOND)
    paused = template_status(
        template,
        "PAUSED",
        told,
        title=TITLES_OF_PAUSES[template.round - 1],
        text=f"Your template has been paused for {pause / 3600:g} hours because of negative feedback.",
    )
    freed = template_status(
        template, "REINSTATED", back // _SECOND, title="UNPAUSE", text="Your template has been unpaused."
    )
    better = template_quality(template, "RED", "UNKNOWN", back // _SECOND)
    return [
        Change(at, (bad, paused), status="PAUSED", quality="RED"),
        Change(back, (freed, better), status="APPROVED", quality="UNKNOWN", restart=True),
    ]
