"""A certificate for the terminal: a verdict in words for each comparison, and the numbers behind it."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.certification.calibration import ALPHAS, BINS, Calibration, Share, Verdict
from analysis.certification.certify import Certificate, Certified

_COLOURS: Final = {
    Verdict.HOLDS: "green",
    Verdict.TOO_NARROW: "red",
    Verdict.TOO_WIDE: "yellow",
    Verdict.CANNOT_TELL: "dim",
}
_BARS: Final = "▁▂▃▄▅▆▇█"
_EMPTY: Final = " "


def render(certificate: Certificate) -> RenderableType:
    """A renderable for `rich.console.Console.print`."""
    arms = ", ".join(f"{variant} {share:.1%}" for variant, share in certificate.weights.items())
    by = f", drawn by {certificate.drawn_by}" if certificate.drawn_by else ""
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{certificate.source}", "bold"),
            f": {certificate.runs:,} times the same users, drawn anew ({arms}{by}), seed {certificate.seed}. "
            "Labels dealt by chance have no effect, so every effect found is found by mistake.",
        ),
        _verdicts(certificate.metrics),
    ]
    told = [found for found in certificate.metrics if found.calibration is not None]
    if told:
        parts.append(_numbers(told))
    parts.append(_ratio(certificate))
    parts += [Text(f"Warning: {warning}", style="yellow") for warning in certificate.warnings]
    return Group(*parts)


def histogram(counts: Sequence[int]) -> str:
    """Twenty bars, the highest a full block; a bar of the height that every p should have reaches half.

    >>> histogram([4, 4, 8, 0])
    '▄▄█ '
    """
    expected = sum(counts) / len(counts) if counts else 0
    top = max([*counts, 2 * expected])
    bars = ""
    for count in counts:
        step = round(count / top * len(_BARS)) if top else 0
        bars += _BARS[min(step, len(_BARS)) - 1] if step else (_BARS[0] if count else _EMPTY)
    return bars


def _verdicts(found: Sequence[Certified]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("metric", no_wrap=True)
    table.add_column("variant", no_wrap=True)
    table.add_column("users", justify="right")
    table.add_column("verdict", ratio=1)
    for one in found:
        users = f"{one.users:,}" + (f"\n({one.sample:.0%} of all)" if one.sample < 1 else "")
        table.add_row(one.metric, one.variant, users, Text(one.because, style=_COLOURS[one.verdict]))
    return table


def _numbers(found: Sequence[Certified]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="How often it errs, in %", title_justify="left")
    table.add_column("metric, variant")
    for alpha in ALPHAS:
        table.add_column(f"p < {alpha:g}", justify="right")
    table.add_column("hold 0", justify="right")
    table.add_column("lifts", justify="right")
    table.add_column("KS", justify="right")
    table.add_column("p from 0 to 1", no_wrap=True, min_width=BINS)
    for one in found:
        assert one.calibration is not None  # noqa: S101  # the caller has left the others out
        table.add_row(f"{one.metric}, {one.variant}", *_cells(one.calibration))
    return table


def _cells(calibration: Calibration) -> list[str]:
    return [
        *(_percent(share) for share in calibration.below.values()),
        _percent(calibration.covers),
        _percent(calibration.lift_covers) if calibration.lift_covers is not None else "",
        f"{calibration.distance:.3f}",
        histogram(calibration.histogram),
    ]


def _percent(share: Share) -> str:
    return f"{100 * share.share:.2f} ±{100 * share.error:.2f}"


def _ratio(certificate: Certificate) -> Text:
    ratio = certificate.ratio
    chi_square = (
        f"chi-square (p < 0.001) {_percent(ratio.chi_square)} %"
        if ratio.chi_square is not None
        else "chi-square cannot be told of so few users"
    )
    return Text(
        f"Sample-ratio alarms over {ratio.assigned:,} users dealt with these weights, 0.1 % at most: {chi_square}, "
        f"e-value (1000) {_percent(ratio.e_value)} %"
    )
