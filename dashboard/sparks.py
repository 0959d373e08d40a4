"""An interval as a picture of the size of a word, for lists: where it lies to the line of no effect. Pure."""

from base64 import b64encode
from typing import Final

from dashboard.charts import GREY, VERDICT_COLOURS
from dashboard.documents import Interval
from dashboard.verdicts import Verdict

WIDTH: Final = 110
HEIGHT: Final = 16
MARGIN: Final = 7


def picture(interval: Interval, verdict: Verdict) -> str:
    """An SVG as the address of an image; each picture has a scale of its own, with no effect always on it."""
    low = interval.estimate if interval.lower is None else interval.lower
    high = interval.estimate if interval.upper is None else interval.upper
    first, last = min(0.0, low), max(0.0, high)
    span = (last - first) or 1.0

    def place(value: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - first) / span, 1)

    colour, middle = VERDICT_COLOURS.get(verdict, GREY), HEIGHT / 2
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<line x1="{place(0)}" x2="{place(0)}" y1="0" y2="{HEIGHT}" stroke="{GREY}" stroke-width="1.5" stroke-dasharray="3 2"/>'
        f'<line x1="{place(low)}" x2="{place(high)}" y1="{middle}" y2="{middle}" stroke="{colour}" stroke-width="3" '
        f'stroke-linecap="round"/><circle cx="{place(interval.estimate)}" cy="{middle}" r="4.5" fill="{colour}"/></svg>'
    )
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
