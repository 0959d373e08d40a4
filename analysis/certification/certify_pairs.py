"""Two arms of many re-randomisations, compared as the report compares them. Pure."""

from collections import Counter
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from analysis.stats import comparisons, proportions
from analysis.stats.aggregates import Aggregate
from analysis.stats.comparisons import Sums, Told
from analysis.stats.errors import InsufficientData
from analysis.stats.reasons import words
from experiments.vocabulary import SHARE_KINDS, MetricKind

LEVEL: Final = 0.05
EXACT_RUNS: Final = 2_000
BOSCHLOO_RUNS: Final = 300
"""Exact tests take a table each, from half a millisecond (Fisher) to a tenth of a second (Boschloo): fewer runs do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What each run said, masked where it says nothing; `why` is the most frequent reason. exact: whether tests were exact."""

    p: Told
    covers: Told
    lift_covers: Told
    estimate: Told
    error: Told
    exact: bool = False
    why: str = ""


def compare_runs(control: Sums, treatment: Sums, *, kind: MetricKind) -> Runs:
    """The comparison of `compare.compare` at one look with alpha 0.05, for each run.

    Means, counts and ratios by Welch; proportions too, where every expected cell is at least 10, else exactly. There
    the runs are cut to 2,000 (300 where Boschloo's test is used).
    """
    arms = control.arms(), treatment.arms()
    found = comparisons.differences(*arms)
    absolute, relative = comparisons.absolute(found, LEVEL), comparisons.relative(found, LEVEL)
    reasons = Counter(found.reason[found.reason > 0].tolist())
    runs = Runs(
        p=comparisons.p_values(found),
        covers=absolute.contain(0.0),
        lift_covers=relative.contain(0.0),
        estimate=found.estimate,
        error=found.standard_error,
        why=words(reasons.most_common(1)[0][0]) if reasons else "",
    )
    if kind not in SHARE_KINDS:
        return runs
    pairs = [
        (Aggregate(n=round(n_c), mean=m_c, variance=v_c), Aggregate(n=round(n_t), mean=m_t, variance=v_t))
        for n_c, m_c, v_c, n_t, m_t, v_t in zip(
            *(column.tolist() for arm in arms for column in (arm.n, arm.mean, arm.variance)), strict=True
        )
    ]
    return _with_exact(runs, pairs)


def _with_exact(runs: Runs, pairs: list[tuple[Aggregate, Aggregate]]) -> Runs:
    few = [
        i for i, (a, b) in enumerate(pairs) if proportions.is_small(a, b) or max(a.variance, b.variance) <= 0
    ]
    if not few:
        return runs
    tiny = any(pairs[i][0].n * pairs[i][1].n <= proportions.BOSCHLOO_LIMIT for i in few)
    limit = BOSCHLOO_RUNS if tiny else EXACT_RUNS
    cut = {
        field.name: getattr(runs, field.name)[:limit].copy()
        for field in fields(Runs)
        if field.name not in ("exact", "why")
    }
    known: dict[tuple[int, int, int, int], tuple[float, bool] | str] = {}
    why = runs.why
    for i in few:
        if i >= limit:
            break
        a, b = pairs[i]
        table = (a.n, proportions.successes(a), b.n, proportions.successes(b))
        if table not in known:
            known[table] = _exactly(a, b)
        answer = known[table]
        cut["lift_covers"][i] = np.ma.masked
        if isinstance(answer, str):
            cut["p"][i] = cut["covers"][i] = np.ma.masked
            why = answer
        else:
            cut["p"][i], cut["covers"][i] = answer
    return Runs(**cut, exact=True, why=why)


def _exactly(a: Aggregate, b: Aggregate) -> tuple[float, bool] | str:
    try:
        p = proportions.exact_p_value(a, b)
        interval = proportions.newcombe_interval(a, b, LEVEL)
    except InsufficientData as cannot:
        return cannot.reason
    return p, interval.lower <= 0 <= interval.upper
