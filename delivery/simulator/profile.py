"""How strict this WhatsApp is: its limits, its care for people's patience, its doubts about new templates, its webhooks.

Everything is off unless it is set; `SimulatorConfig.realistic` sets what the real one does.
"""

from dataclasses import dataclass
from typing import Literal

from experiments.errors import Invalid

DAY = 86_400.0


def _demand(holds: bool, message: str, field: str) -> None:
    if not holds:
        raise Invalid(message, field=field)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits that a sender meets; refused messages count towards none of them. All durations in seconds.

    `throughput_room`: how many seconds' worth of `throughput` may come at once.
    `pair_rest` (131056; None: off; Meta: 6): messages to one person, on average, no closer than this. `pair_burst` of them
    (Meta: 45) may come within one rest, borrowing the time of those after them. Each message that is refused makes the
    wait at least 4^n, n from 0, up to `pair_longest`. On the `pair_clock`.
    `tier` (None: unlimited; Meta: 250, 2000, 10000, 100000): unique people in `tier_seconds` to whom a template goes
    outside their 24 h window; one more is refused with `tier_code` (assumed: no primary source names it).
    `stopped`: marketing to somebody who chose stop in the menu is refused with 131050.
    """

    throughput_room: float = 1.0
    pair_rest: float | None = None
    pair_burst: int = 1
    pair_longest: float = 3600.0
    pair_clock: Literal["simulated", "real"] = "simulated"
    tier: int | None = None
    tier_seconds: float = DAY
    tier_code: int = 131048
    stopped: bool = False

    def __post_init__(self) -> None:
        _demand(0 < self.throughput_room < float("inf"), "must be positive", "limits.throughput_room")
        _demand(
            self.pair_rest is None or 0 < self.pair_rest < float("inf"),
            "must be positive",
            "limits.pair_rest",
        )
        _demand(self.pair_burst >= 1, "must be at least 1", "limits.pair_burst")
        _demand(0 <= self.pair_longest < float("inf"), "must not be negative", "limits.pair_longest")
        _demand(self.pair_clock in ("simulated", "real"), "must be simulated or real", "limits.pair_clock")
        _demand(self.tier is None or self.tier >= 1, "must be at least 1", "limits.tier")
        _demand(0 < self.tier_seconds < float("inf"), "must be positive", "limits.tier_seconds")


@dataclass(frozen=True, slots=True)
class Engagement:
    """Meta's cap on marketing per person (131049), as a function of how much of it they have ignored.

    `ignored` is the number of marketing messages that reached the person within `window_seconds` and since the person
    last read, clicked or wrote. The chance is `min(most, growth * max(0, ignored - free))`, drawn once per person and
    day of the simulated clock, so that trying again on that day changes nothing.
    """

    free: int = 2
    growth: float = 0.25
    most: float = 0.95
    window_seconds: float = 7 * DAY

    def __post_init__(self) -> None:
        _demand(self.free >= 0, "must not be negative", "engagement.free")
        _demand(0 <= self.growth <= 1, "must be between 0 and 1", "engagement.growth")
        _demand(0 <= self.most <= 1, "must be between 0 and 1", "engagement.most")
        _demand(0 < self.window_seconds < float("inf"), "must be positive", "engagement.window_seconds")

    def chance(self, ignored: int) -> float:
        """The chance that one more marketing message is refused; grows with `ignored`, never above `most`."""
        return min(self.most, self.growth * max(0, ignored - self.free))


@dataclass(frozen=True, slots=True)
class Pacing:
    """Meta's pacing of new templates: `first` messages go out, those after them wait for a verdict.

    The verdict falls `hold_seconds` of simulated time after the last of the first: good with the chance `good` (drawn by
    template and round), and what waits goes out; or bad, and what waits fails with 132015 and the template is paused for
    `pause_seconds`, the second time for twice that (then a new round), the third time disabled (132016).
    `paused_answer`: a POST with a paused template gets an `error` (132015), or 200 with the `status` paused and fails later.
    """

    first: int = 1000
    good: float = 0.9
    hold_seconds: float = 3600.0
    pause_seconds: float = 10_800.0
    paused_answer: Literal["error", "status"] = "error"

    def __post_init__(self) -> None:
        _demand(self.first >= 1, "must be at least 1", "pacing.first")
        _demand(0 <= self.good <= 1, "must be between 0 and 1", "pacing.good")
        _demand(0 <= self.hold_seconds < float("inf"), "must not be negative", "pacing.hold_seconds")
        _demand(0 <= self.pause_seconds < float("inf"), "must not be negative", "pacing.pause_seconds")
        _demand(self.paused_answer in ("error", "status"), "must be error or status", "pacing.paused_answer")


@dataclass(frozen=True, slots=True)
class Telling:
    """The shape of webhooks. None: as many as there are.

    `statuses_per_change` and `changes_per_entry` break a body into several entries, changes and statuses.
    `repeat` is the share of whole bodies that come twice, byte for byte. `reorder_seconds`: every status is told up to so
    much simulated time late, each by a draw of its own, so that neighbours change places.
    """

    statuses_per_change: int | None = None
    changes_per_entry: int | None = None
    repeat: float = 0.0
    reorder_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("statuses_per_change", "changes_per_entry"):
            size = getattr(self, name)
            _demand(size is None or size >= 1, "must be at least 1", f"telling.{name}")
        _demand(0 <= self.repeat <= 1, "must be between 0 and 1", "telling.repeat")
        _demand(0 <= self.reorder_seconds < float("inf"), "must not be negative", "telling.reorder_seconds")
