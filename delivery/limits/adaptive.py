"""The adaptive cap: people who read and click may get more messages, people who do not, or who were too much, fewer. Pure.

Over the last 90 days of marketing messages to one person:

    reads, clicks   messages that were read, that were clicked on
    delivered       messages that reached the phone (a read one did)
    refused         messages that WhatsApp refused because the person gets too much marketing from everybody (131049)
    opted_out       times that the person withdrew consent

    attention = (PRIOR * USUAL + reads + 2 * clicks) / (PRIOR + delivered)
    factor    = attention / USUAL * 0.8^refused * 0.5^opted_out, held between `lowest` and `highest`

USUAL = 0.6 is the attention at which nothing changes, PRIOR = 5 messages is how much of it everybody starts with: without
evidence the factor is exactly 1. It never falls with a read or a click, and never rises with a delivery (that is not
read), a refusal or an opt-out. A cap becomes `caps.adapted(cap, factor)`: at most `highest` times the cap, and never
below 1 where the cap is at least 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from delivery.limits.policy import AdaptiveCap

EVIDENCE: Final = timedelta(days=90)
"""How long what a person did is remembered; half-open like the windows of caps."""
USUAL: Final = 0.6
PRIOR: Final = 5
CLICK_WEIGHT: Final = 2
AFTER_REFUSAL: Final = 0.8
AFTER_OPT_OUT: Final = 0.5


class Signal(NamedTuple):
    """One message (when its slot was taken, or it was refused), or one opt-out, of one person."""

    user_pk: int
    at: datetime
    delivered: bool = False
    read: bool = False
    clicked: bool = False
    refused: bool = False
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signals of one person, counted."""

    reads: int = 0
    clicks: int = 0
    delivered: int = 0
    refused: int = 0
    opted_out: int = 0


def evidence_at(signals: Iterable[Signal], now: datetime) -> Evidence:
    """What counts at `now`: a signal does while `at > now - EVIDENCE`."""
    since = now - EVIDENCE
    counting = [signal for signal in signals if signal.at > since]
    return Evidence(
        reads=sum(signal.read for signal in counting),
        clicks=sum(signal.clicked for signal in counting),
        delivered=sum(signal.delivered for signal in counting),
        refused=sum(signal.refused for signal in counting),
        opted_out=sum(signal.opted_out for signal in counting),
    )


def forgotten_at(signals: Iterable[Signal], now: datetime) -> datetime | None:
    """The next time after `now` at which a signal stops counting; None when none counts."""
    return min((signal.at + EVIDENCE for signal in signals if signal.at > now - EVIDENCE), default=None)


def factor(evidence: Evidence, cap: AdaptiveCap) -> float:
    """What the caps of a person are multiplied with.

    >>> factor(Evidence(), AdaptiveCap())
    1.0
    >>> round(factor(Evidence(reads=4, clicks=1, delivered=5), AdaptiveCap()), 3)
    1.5
    >>> round(factor(Evidence(reads=4, delivered=5, refused=1), AdaptiveCap()), 3)
    0.933
    """
    attention = (PRIOR * USUAL + evidence.reads + CLICK_WEIGHT * evidence.clicks) / (
        PRIOR + evidence.delivered
    )
    penalty = AFTER_REFUSAL**evidence.refused * AFTER_OPT_OUT**evidence.opted_out
    return max(cap.lowest, min(cap.highest, attention / USUAL * penalty))
