"""Whether a design that could be started once can still be started now: moments that are past, and those that never come."""

from datetime import datetime, timedelta, timezone
from typing import Final

from experiments.clock import format_moment
from experiments.design import ExperimentDesign
from experiments.errors import Problem
from experiments.timing import opens_at
from experiments.triggers import OnceTrigger

MOST_LATE: Final = timedelta(days=1)
"""A start this long after `at` is only late; one later is a slip of the date."""
_LAST_PLACE: Final = timezone(timedelta(hours=-12))
"""Where each day ends last."""


def start_problems(design: ExperimentDesign, *, now: datetime) -> list[Problem]:
    """What makes a start at `now` one that nobody would ever get a message from."""
    trigger, gives_up = design.trigger, design.expires.at
    until: datetime | None = getattr(trigger, "until", None)
    if until is not None and until <= now:
        return [Problem("trigger.until", f"{format_moment(until)} is past, so nobody would ever enter")]
    if isinstance(trigger, OnceTrigger) and trigger.at is not None and trigger.at < now - MOST_LATE:
        return [
            Problem(
                "trigger.at",
                f"{format_moment(trigger.at)} is long past; leave out `at` to begin at once, or name a moment to come",
            )
        ]
    opens = opens_at(trigger, now)
    if opens is None:
        return [Problem("trigger.until", "no moment of `cron` comes before it, so nobody would ever enter")]
    if isinstance(trigger, OnceTrigger) and trigger.local_moment is not None:
        last = trigger.local_moment.replace(tzinfo=_LAST_PLACE)
        if last <= now:
            return [
                Problem(
                    "trigger.local_time",
                    f"{trigger.local_moment.isoformat()} is past on every clock on earth",
                )
            ]
    if gives_up is not None and gives_up <= opens:
        return [
            Problem(
                "expires.at",
                f"{format_moment(gives_up)} is not after {format_moment(opens)}, when it would begin, so every message "
                "would expire unsent",
            )
        ]
    return []
