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
MOST_DECIMALS: Final = 12
MOST_OF_AN_ESTIMATE: Final = 6
DIGITS_OF_A_SETTING: Final = 6
"""What somebody has chosen is told as it was chosen."""
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~$&]|:(?=\S)|^[-+=]|^\d+(?=[.)]\s))")
_UNSEEN: Final = "\u200b"
# What Streamlit looks for once escapes are gone: addresses, which become links; :names: of pictures, but for the minutes of a time.
_LATER: Final = re.compile(r"(https?:(?=//)|www(?=\.)|:(?=material/)|:(?!\d\d:)(?=[\w+-]+:))", re.IGNORECASE)


def plain(text: str) -> str:
    r"""Text of other people, safe inside Markdown: shown letter by letter, so no picture, colour, formula or link to elsewhere appears.

    >>> plain("a *b*")
    'a \\*b\\*'
    """
    unbound = _LATER.sub(rf"\1{_UNSEEN}", " ".join(text.split()))
    return _MARKDOWN.sub(lambda found: _escaped(found[0]), unbound)


def _escaped(found: str) -> str:
    # A digit cannot be escaped, but a number that begins a line must not begin a list.
    return f"{found}{_UNSEEN}" if found.isdigit() else f"\\{found}"


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
    return max(0, min(MOST_OF_AN_ESTIMATE, 1 - math.floor(math.log10(half_width))))


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
        return brief(limit, DIGITS_OF_A_SETTING)
    size = brief(100 * limit, DIGITS_OF_A_SETTING)
    return say("formats.tolerance", size=size, count=1 if size == "1" else 2)


def level(arm: ArmMean | None, kind: str) -> str:
    """The value of one arm, as exact as its own uncertainty allows."""
    if arm is None or arm.mean is None:
        return UNKNOWN
    factor = 100 if is_share(kind) else 1
    known = arm.sd is not None and arm.n > 0
    half_width = 1.96 * (arm.sd or 0) / math.sqrt(arm.n) * factor if known else None
    decimals = decimals_for(half_width)
    return percent(arm.mean, decimals) if is_share(kind) else number(arm.mean, decimals)


def share(part: int, whole: int) -> str:
    r"""`part` of `whole` as percent; a dash when there is no whole.

    >>> share(1, 8), share(1, 0), share(99_999, 100_000)
    ('12.5%', '–', '>\xa099.9%')
    """
    return UNKNOWN if whole <= 0 else percent(part / whole)


def percent(value: float, decimals: int = 1) -> str:
    r"""A share as percent that never says none or all when it is not.

    >>> percent(0.5), percent(0), percent(1), percent(0.0004), percent(0.9996, 0)
    ('50.0%', '0.0%', '100.0%', '<\xa00.1%', '>\xa099%')
    """
    text = f"{100 * value:,.{decimals}f}"
    step = 10**-decimals
    if value > 0 and float(text.replace(",", "")) == 0:
        return f"<{NBSP}{step:.{decimals}f}%"
    if value < 1 and text == f"{100:.{decimals}f}":
        return f">{NBSP}{100 - step:.{decimals}f}%"
    return f"{number(100 * value, decimals)}%"


def brief(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, and never with an exponent; what is before the point is not rounded.

    >>> brief(12345.6), brief(40.0), brief(0.0523), brief(-0.000012), brief(0)
    ('12,346', '40', '0.0523', '−0.000012', '0')
    """
    if value == 0:
        return "0"
    decimals = min(MOST_DECIMALS, max(0, digits - 1 - math.floor(math.log10(abs(value)))))
    text = number(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def chance(value: float) -> str:
    r"""A chance, or a relative size, to three digits.

    >>> chance(0.8), chance(0.99991), chance(0.00001), chance(12.5)
    ('80%', '>\xa099.9%', '<\xa00.01%', '1,250%')
    """
    if 0 < value < 0.0001:
        return f"<{NBSP}0.01%"
    return f">{NBSP}99.9%" if 0.999 < value < 1 else f"{brief(100 * value)}%"


def signed(effect: float) -> str:
    """A relative effect with its sign, to three digits.

    >>> signed(0.1), signed(-0.0523), signed(20), signed(0)
    ('+10%', '−5.23%', '+2,000%', '0%')
    """
    return f"{'+' if effect > 0 else ''}{brief(100 * effect)}%"


def p_value(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    if 0.9995 <= value < 1:
        return f">{NBSP}0.999"
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
    """The level of intervals, such as `95%`; never 100%.

    >>> confidence(0.05), confidence(0.07), confidence(1e-7)
    ('95%', '93%', '99.99999%')
    """
    return f"{brief(100 * (1 - alpha), MOST_DECIMALS - 2)}%"


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
    """The decimals with which an interval is shown: as many as its width asks for, and so many that a bound beside zero is not zero.

    >>> decimals_of(Interval(5.0, 0.02, 9.98)), decimals_of(Interval(5.0, 3.9, 6.1))
    (2, 1)
    """
    known = [bound for bound in (interval.lower, interval.upper) if bound is not None]
    decimals = decimals_for(max((abs(bound - interval.estimate) for bound in known), default=None))
    while decimals < MOST_OF_AN_ESTIMATE and any(bound and not round(bound, decimals) for bound in known):
        decimals += 1
    return decimals


def _range(interval: Interval, unit: str) -> str:
    decimals = decimals_of(interval)
    low, high = (
        None if bound is None else f"{number(bound, decimals, sign=True)}{unit}"
        for bound in (interval.lower, interval.upper)
    )
    return bounds(low, high)
