"""Numbers, times and foreign text as a person reads them: percent for proportions, plain units for the rest."""

import math
import re
from datetime import datetime, tzinfo
from typing import Final

from dashboard import viewer
from dashboard.documents import ArmMean, Interval
from dashboard.texts import say

MINUS: Final = "−"
NBSP: Final = "\u00a0"
UNKNOWN: Final = "–"
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~$&]|:(?=\S)|^[-+=]|^\d+(?=[.)]\s))")


def plain(text: str) -> str:
    r"""Text of other people, safe inside Markdown: shown letter by letter, so no picture, colour or formula appears.

    >>> plain("a *b*")
    'a \\*b\\*'
    """
    return _MARKDOWN.sub(lambda found: _escaped(found[0]), " ".join(text.split()))


def _escaped(found: str) -> str:
    # A digit cannot be escaped, but a number that begins a line must not begin a list.
    return f"{found}\u200b" if found.isdigit() else f"\\{found}"


def count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A number with a typographic minus; `sign` also shows the plus.

    >>> number(-1234.5, 1), number(0.07, 2, sign=True), number(-0.001, 1, sign=True)
    ('−1,234.5', '+0.07', '0.0')
    """
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    if value < 0:
        return MINUS + text
    return f"+{text}" if sign else text


def decimals_for(half_width: float | None) -> int:
    """So many decimals that the uncertainty shows with two digits: more would be noise.

    >>> decimals_for(0.66), decimals_for(3.2), decimals_for(45), decimals_for(None)
    (2, 1, 0, 2)
    """
    if half_width is None or half_width <= 0:
        return 2
    return max(0, min(6, 1 - math.floor(math.log10(half_width))))


def is_share(kind: str) -> bool:
    """Whether values of this kind of metric are read as percent."""
    return kind in {"proportion", "retention"}


def scaled(interval: Interval, factor: float) -> Interval:
    return Interval(
        interval.estimate * factor,
        None if interval.lower is None else interval.lower * factor,
        None if interval.upper is None else interval.upper * factor,
    )


def difference(interval: Interval, kind: str) -> Interval:
    """An absolute effect in the unit that is shown: percentage points for proportions."""
    return scaled(interval, 100) if is_share(kind) else interval


def difference_text(interval: Interval | None, kind: str) -> str:
    """The estimate alone, such as `+7.66 points`."""
    if interval is None:
        return UNKNOWN
    shown = difference(interval, kind)
    text = number(shown.estimate, decimals_of(shown), sign=True)
    return say("formats.points", number=text) if is_share(kind) else text


def difference_range(interval: Interval | None, kind: str) -> str:
    """The bounds alone, such as `+7.00 to +8.32`."""
    return UNKNOWN if interval is None else _range(difference(interval, kind), "")


def relative_text(interval: Interval | None) -> str:
    if interval is None:
        return UNKNOWN
    shown = scaled(interval, 100)
    return f"{number(shown.estimate, decimals_of(shown), sign=True)}%"


def relative_range(interval: Interval | None) -> str:
    return UNKNOWN if interval is None else _range(scaled(interval, 100), "%")


def tolerance(limit: float, kind: str) -> str:
    """The margin of a guardrail, such as `0.2 points`."""
    if not is_share(kind):
        return f"{limit:g}"
    size = f"{100 * limit:g}"
    return say("formats.tolerance", size=size, count=1 if size == "1" else 2)


def level(arm: ArmMean | None, kind: str) -> str:
    """The value of one arm, as exact as its own uncertainty allows."""
    if arm is None or arm.mean is None:
        return UNKNOWN
    factor = 100 if is_share(kind) else 1
    known = arm.sd is not None and arm.n > 0
    half_width = 1.96 * (arm.sd or 0) / math.sqrt(arm.n) * factor if known else None
    text = number(arm.mean * factor, decimals_for(half_width))
    return f"{text}%" if is_share(kind) else text


def share(part: int, whole: int) -> str:
    """`part` of `whole` as percent; a dash when there is no whole.

    >>> share(1, 8), share(1, 0), share(99_999, 100_000)
    ('12.5%', '–', '100.0%')
    """
    return UNKNOWN if whole <= 0 else f"{100 * part / whole:.1f}%"


def p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"<{NBSP}0.001" if value < 0.001 else f"{value:.3f}"


def probability(value: float | None) -> str:
    """Never 0% or 100%: a model's certainty is not the world's."""
    if value is None:
        return UNKNOWN
    if value > 0.999:
        return f">{NBSP}99.9%"
    return f"<{NBSP}0.1%" if value < 0.001 else f"{100 * value:.1f}%"


def moment(value: datetime | None, zone: tzinfo | None = None) -> str:
    """A time in the viewer's zone, or in another one, with the name of the zone."""
    if value is None:
        return UNKNOWN
    local = value.astimezone(zone or viewer.zone())
    month = say(f"formats.months.{local.month}")
    return say("formats.moment", day=local.day, month=month, year=local.year, time=f"{local:%H:%M %Z}")


def duration(seconds: float) -> str:
    r"""A time span in its two largest units.

    >>> duration(42), duration(3_700), duration(200_000)
    ('42\xa0s', '1\xa0h\xa01\xa0min', '2\xa0d\xa07\xa0h')
    """
    rest = round(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number_of, rest = divmod(rest, size)
        if number_of or (unit == "s" and not parts):
            parts.append(f"{number_of}{NBSP}{unit}")
    return NBSP.join(parts[:2])


def confidence(alpha: float) -> str:
    return f"{100 * (1 - alpha):g}%"


def magnitude(value: float, decimals: int) -> str:
    """A number without its sign.

    >>> magnitude(-1.25, 1)
    '1.2'
    """
    return number(abs(value), decimals)


def bounds(low: str | None, high: str | None) -> str:
    """A range of two numbers that are written already; None is open."""
    if low is None and high is None:
        return say("formats.unbounded")
    if low is None:
        return say("formats.at_most", bound=high)
    return say("formats.at_least", bound=low) if high is None else say("formats.range", low=low, high=high)


def decimals_of(interval: Interval) -> int:
    """The decimals with which an interval is shown."""
    known = [bound for bound in (interval.lower, interval.upper) if bound is not None]
    return decimals_for(max((abs(bound - interval.estimate) for bound in known), default=None))


def _range(interval: Interval, unit: str) -> str:
    decimals = decimals_of(interval)
    low, high = (
        None if bound is None else f"{number(bound, decimals, sign=True)}{unit}"
        for bound in (interval.lower, interval.upper)
    )
    return bounds(low, high)
