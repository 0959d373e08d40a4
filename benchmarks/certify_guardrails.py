"""Guardrails: how often is one called breached, or cleared, although the harm is exactly the margin; and what is seen of harm.

Harm goes by the e-process under every method but `fixed`. A guardrail is cleared by it too, but under `spending` by one-sided
spending (docs/decisions/0035).
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.inputs import ArmFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.eprocess import bet_size, log_e_value
from analysis.stats.noninferiority import FEWEST_USERS, is_surely_below
from analysis.stats.sequential import spending_rule
from analysis.stats.spending import spending_boundaries
from analysis.verdicts.compare import Look
from analysis.verdicts.effects import findings_of
from benchmarks.certify_exact import one_sided
from benchmarks.claims import (
    ALPHA,
    Claim,
    Findings,
    Grid,
    Size,
    error_claim,
    percent,
    rate_in,
    standard_error,
)
from benchmarks.simulation import Counts, Floats, Twin, cumulative_counts, users_at
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

TOPIC: Final = "guardrails"
LOOKS: Final = 90
GUARDS: Final = ((20, 0.005, 0.002), (200, 0.005, 0.002), (1000, 0.01, 0.005), (200, 0.1, 0.02))
"""Users per arm and look, the control's rate, the margin, which is also the truth."""
RATES: Final = (0.001, 0.002, 0.005, 0.01, 0.02)
MARGINS: Final = (0.001, 0.002, 0.005, 0.01)
USERS: Final = (200, 500, 1000, 2000, 5000)
"""Users per arm at the planned end."""
PLANNED_LOOKS: Final = (1, 2, 5, 14, 30)
UNEVEN: Final = ((1800, 200), (200, 1800), (9000, 1000), (1000, 9000), (20, 20))
"""Users of control and treatment at the planned end."""
UNEVEN_RATES: Final = (0.001, 0.005, 0.02, 0.5, 0.9)
UNEVEN_MARGINS: Final = (0.002, 0.005, 0.02, 0.08)
UNEVEN_LOOKS: Final = (1, 5, 14)
HARMLESS: Final = (
    (200, 14, 0.005, 0.005), (200, 14, 0.01, 0.005), (500, 14, 0.005, 0.002), (1000, 14, 0.01, 0.002), (1000, 14, 0.02, 0.005),
    (5000, 14, 0.005, 0.001), (200, 30, 0.005, 0.005), (2000, 5, 0.005, 0.002), (70, 14, 0.001, 0.005),
)  # fmt: skip
"""Users per arm and look, looks, the rate of both arms, the margin."""
HARMFUL: Final = ((200, 14, 0.005, 0.012, 0.002), (200, 14, 0.005, 0.02, 0.002), (200, 14, 0.01, 0.02, 0.002))
"""Users per arm and look, looks, the two rates, the margin."""
CHECKED: Final = 0.2
"""Of the cells, so many are compared with a report, one look of one run each: a report takes its time."""
Advance = Callable[[], None]
Hits = NDArray[np.bool_]


def at_any_time(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The harm is exactly the margin, and the e-process is asked at 90 looks."""
    runs, worst = size.runs // 2, {"breached": 0.0, "cleared": 0.0}
    for number, (users, rate, margin) in enumerate(GUARDS):
        rng = np.random.default_rng([seed, 32, number])
        x_c = cumulative_counts(rng, runs, LOOKS, users, rate)
        x_t = cumulative_counts(rng, runs, LOOKS, users, rate + margin)
        for verdict, hits in (
            ("breached", one_sided(x_c, x_t, users, margin)),
            ("cleared", one_sided(x_t, x_c, users, -margin)),
        ):
            worst[verdict] = max(worst[verdict], float(hits.mean()))
    told = {"breached": "every method but fixed", "cleared": "always_valid and exact"}
    for verdict, share in worst.items():
        _add_error(
            findings,
            f"{verdict} at any of {LOOKS} looks although the harm is the margin ({told[verdict]}), in every one of {len(GUARDS)} cells",
            share, runs, len(GUARDS), f"worst {percent(share)}",
        )  # fmt: skip
    advance()


def cleared_wrongly(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Under `spending`: the harm is exactly the margin, arms of equal size."""
    runs, found = size.runs // 2, {}
    for number, users in enumerate(USERS):
        rng = np.random.default_rng([seed, 33, number])
        for rate, margin, looks in product(RATES, MARGINS, PLANNED_LOOKS):
            joined = max(1, round(users / looks))
            x_c = cumulative_counts(rng, runs, looks, joined, rate)
            x_t = cumulative_counts(rng, runs, looks, joined, rate + margin)
            hits = _cleared(x_c, x_t, joined, joined, margin)
            _check(rng, x_c, x_t, joined, joined, margin, hits, falls=False)
            found[users, rate, margin, looks] = float(hits.any(axis=1).mean())
        advance()
    (users, rate, margin, looks), worst = max(found.items(), key=lambda item: item[1])
    _add_error(
        findings,
        f"cleared at any planned look under spending although the harm is the margin, in every one of {len(found)} cells",
        worst, runs, len(found),
        f"worst {percent(worst)} (rate {rate_in(rate)}, margin {rate_in(margin)}, {users} users per arm at the end, {looks} looks)",
    )  # fmt: skip
    findings.grids.append(
        Grid(
            title=f"Guardrails cleared under spending although the harm is the margin: the worst over {', '.join(map(str, PLANNED_LOOKS))} "
            f"looks and margins of {', '.join(map(rate_in, MARGINS))}",
            corner="rate",
            columns=[f"{users} per arm at the end" for users in USERS],
            rows=[
                (
                    rate_in(rate),
                    [
                        percent(max(found[users, rate, each, k] for each in MARGINS for k in PLANNED_LOOKS))
                        for users in USERS
                    ],
                )
                for rate in RATES
            ],
        )
    )


def uneven(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The same where the arms are not alike in size, and where less is the harm (a delivered share, say)."""
    runs = size.runs // 2
    for falls in (False, True):
        found = []
        rng = np.random.default_rng([seed, 34, falls])
        for (end_c, end_t), rate, margin, looks in product(
            UNEVEN, UNEVEN_RATES, UNEVEN_MARGINS, UNEVEN_LOOKS
        ):
            joined_c, joined_t = max(1, round(end_c / looks)), max(1, round(end_t / looks))
            low, high = rate, rate + margin
            x_c = cumulative_counts(rng, runs, looks, joined_c, high if falls else low)
            x_t = cumulative_counts(rng, runs, looks, joined_t, low if falls else high)
            hits = _cleared(x_c, x_t, joined_c, joined_t, margin, falls=falls)
            _check(rng, x_c, x_t, joined_c, joined_t, margin, hits, falls=falls)
            found.append(float(hits.any(axis=1).mean()))
        _add_error(
            findings,
            f"the same for arms of 9:1, 1:9 and 20 users, harm is {'less' if falls else 'more'}, in every one of {len(found)} cells",
            max(found), runs, len(found), f"worst {percent(max(found))}",
        )  # fmt: skip
    advance()


def power(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """What is cleared where nothing is wrong, and breached where much is: by the e-process, and by spending."""
    runs, rows = size.runs // 2, []
    for number, (users, looks, rate, margin) in enumerate(HARMLESS):
        rng = np.random.default_rng([seed, 35, number])
        x_c, x_t = (cumulative_counts(rng, runs, looks, users, rate) for _ in range(2))
        spent = np.asarray(_cleared(x_c, x_t, users, users, margin).any(axis=1))
        once = _cleared(x_c[:, -1:], x_t[:, -1:], users * looks, users * looks, margin)
        shares = (one_sided(x_t, x_c, users, -margin), spent, once)
        rows.append(
            (
                f"{rate_in(rate)} in both, margin {rate_in(margin)}, {users} per arm and look, {looks} looks",
                [f"{share.mean():.3f}" for share in shares],
            )
        )
        if number == 0:
            _add_power(findings, rows[0][0], shares, runs)
    findings.grids.append(
        Grid(
            title=f"Guardrails cleared where the arms are alike, {runs:,} runs a cell",
            corner="cell",
            columns=("e-process (always_valid, exact)", "spending", "one look at the end"),
            rows=rows,
        )
    )
    for number, (users, looks, rate, bad, margin) in enumerate(HARMFUL):
        rng = np.random.default_rng([seed, 36, number])
        x_c = cumulative_counts(rng, runs, looks, users, rate)
        x_t = cumulative_counts(rng, runs, looks, users, bad)
        share = float(one_sided(x_c, x_t, users, margin).mean())
        _add_figure(
            findings,
            f"breached: {rate_in(rate)} against {rate_in(bad)}, margin {rate_in(margin)}, {users} per arm and look, {looks} looks",
            f"{share:.3f}", standard_error(share, runs), runs,
        )  # fmt: skip
    advance()


def _cleared(
    x_c: Counts, x_t: Counts, joined_c: int, joined_t: int, margin: float, *, falls: bool = False
) -> Hits:
    """Which of equally spaced looks clear the guardrail, (runs, looks). joined: users of each arm per look."""
    looks = x_c.shape[1]
    if falls:
        x_c, x_t, joined_c, joined_t = x_t, x_c, joined_t, joined_c
    n_c, n_t = (users_at(looks, joined) for joined in (joined_c, joined_t))
    hits = is_surely_below(n_c, x_c, n_t, x_t, margin=margin, z=_bounds(looks))
    for k in np.flatnonzero(np.minimum(n_c, n_t) < FEWEST_USERS):
        hits[:, k] = _by_e_process(x_c[:, k], x_t[:, k], n_c[k], n_t[k], looks, int(k), margin)
    return hits


@cache
def _bounds(looks: int) -> Floats:
    return np.asarray(spending_boundaries([k / looks for k in range(1, looks + 1)], 2 * ALPHA))


def _by_e_process(
    x_c: Counts, x_t: Counts, n_c: float, n_t: float, looks: int, k: int, margin: float
) -> Hits:
    # Evidence that the control is the larger one by more than -margin; each table that occurs is asked about once.
    stake = bet_size(round((n_c + n_t) / (k + 1) * looks), ALPHA)
    tables, place = np.unique(np.stack([x_c, x_t]), axis=1, return_inverse=True)
    told = log_e_value(n_t, tables[1], n_c, tables[0], share=n_c / (n_c + n_t), size=stake, margin=-margin)
    return np.asarray(told[place.ravel()] >= np.log(1 / ALPHA))


def _check(
    rng: np.random.Generator,
    x_c: Counts,
    x_t: Counts,
    joined_c: int,
    joined_t: int,
    margin: float,
    hits: Hits,
    *,
    falls: bool,
) -> None:
    # What is computed here for many experiments is what a report says of one. Raises Twin.
    if rng.random() >= CHECKED:
        return
    looks = x_c.shape[1]
    spec = MetricSpec(
        key="m",
        kind=MetricKind.PROPORTION,
        role=MetricRole.GUARDRAIL,
        direction=Direction.INCREASE if falls else Direction.DECREASE,
        margin=margin,
    )
    k = looks if looks > 5 else int(rng.integers(1, looks + 1))
    rule = spending_rule([j / looks for j in range(1, k)], k / looks, ALPHA)
    look = Look(method=Method.SPENDING, alpha=ALPHA, planned_n=looks * (joined_c + joined_t), spending=rule)
    run = int(rng.integers(len(x_c)))
    arms = [
        ArmFacts(
            variant=name, control=name == "c", weight=joined, assigned=joined * k, mature=joined * k,
            aggregates={"m": Aggregate.from_counts(joined * k, int(x[run, k - 1]))},
        )
        for name, joined, x in (("c", joined_c, x_c), ("t", joined_t, x_t))
    ]  # fmt: skip
    verdict = findings_of((spec,), arms, look, [], [])[0].effects[0].guardrail
    if verdict is None or verdict.non_inferior != bool(hits[run, k - 1]):
        raise Twin(
            f"guardrail, look {k} of {looks}, {joined_c} and {joined_t} users: {verdict}, here {hits[run, k - 1]}"
        )


def _add_error(findings: Findings, claim: str, share: float, runs: int, cells: int, obtained: str) -> None:
    findings.claims.append(
        error_claim(TOPIC, claim, share, runs=runs, cells=cells, obtained=obtained, side=", one-sided")
    )


def _add_power(findings: Findings, cell: str, shares: Sequence[Hits], runs: int) -> None:
    for name, hits in zip(("the e-process, as before", "spending"), shares[:2], strict=True):
        share = float(hits.mean())
        _add_figure(findings, f"cleared by {name}: {cell}", f"{share:.3f}", standard_error(share, runs), runs)


def _add_figure(findings: Findings, claim: str, obtained: str, error: float, runs: int) -> None:
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim=claim,
            bar="none (for comparison)",
            obtained=obtained,
            error=f"{error:.3f}",
            runs=f"{runs:,}",
            met=None,
        )
    )
