"""What reports keep for those after them: how much users varied by then, metric by metric (`stats/variance_clock.py`)."""

from collections.abc import Mapping
from typing import Any

from analysis.reports.models import StoredReport
from analysis.stats.sequential import LOOK_RESOLUTION
from analysis.verdicts.clocks import within_arms

Variances = dict[str, tuple[tuple[float, float], ...]]


def variances_until(newest: StoredReport | None) -> Variances:
    """`AnalysisPlan.variances` of the look after this one: those that the newest kept report knew, and its own.

    A look from before they were kept says its own too, in the standard deviations that it showed. Looks closer together than those that count for the
    bounds (`LOOK_RESOLUTION`) are left out, so that what is kept does not grow with every hour.
    """
    if newest is None:
        return {}
    known = _known(newest.inputs)
    for finding in newest.body.get("metrics", ()):
        earlier = known.get(finding["metric"], ())
        variance = within_arms(
            [(arm["n"], None if arm["sd"] is None else arm["sd"] ** 2) for arm in finding["arms"]]
        )
        first = not earlier or newest.information >= earlier[-1][0] + LOOK_RESOLUTION
        if variance is not None and newest.information > 0 and first:
            known[finding["metric"]] = (*earlier, (newest.information, variance))
    return known


def _known(inputs: Mapping[str, Any] | None) -> Variances:
    plan = ((inputs or {}).get("data") or {}).get("plan") or {}
    return {
        metric: tuple((fraction, variance) for fraction, variance in earlier)
        for metric, earlier in (plan.get("variances") or {}).items()
    }
