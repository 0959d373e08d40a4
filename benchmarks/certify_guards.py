"""Guards that act while a campaign runs: how soon a harmful variant is stopped, and how often one that does none.

A campaign sends at an even pace over two days; every look knows what came of messages that are an hour old (`plan.rules.harm_within`).
The evidence is `analysis.stats.harm`'s; what a look says of one campaign is compared with `analysis.bandits.harm.judge` on a sample.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.bandits.harm import judge
from analysis.facts.guard_facts import GuardFacts
from analysis.stats.harm import log_e_harm
from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import AGREES, Counts, Floats, Twin
from experiments.guards import MARGINS, MARGINS_OVER_SILENCE, Guard
from experiments.metrics import BUILT_IN, GUARDED

TOPIC: Final = "guards"
LOOKS: Final = 200
"""Looks at even distances of the sends; the scheduler looks more often, to no other end."""
LAG: Final = math.ceil(LOOKS / 48)
"""An hour of two days, in looks: what has been sent since is not known yet."""
EARLY: Final = LOOKS // 4
"""The look at a quarter of the planned sends."""
DETECTED: Final = 0.9
BASES: Final = (0.005, 0.01, 0.02, 0.03, 0.05)
SENDS: Final = (20_000, 50_000, 100_000)
REFERENCE: Final = (0.03, 20_000)
NATURAL: Final = (0.01, 20_000)
"""Base rate of opt-outs and planned sends: the cell of the claim, and the one that the bar would naturally be read for."""
OTHERS: Final = {"blocked": 0.005, "failed": 0.05}
"""Users of every arm who are harmed otherwise."""
SAMPLE: Final = 12
Advance = Callable[[], None]
Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stream:
    """Users met and harmed after each look, of the control and one arm: (runs, looks) each."""

    n_c: Counts
    x_c: Counts
    n_t: Counts
    x_t: Counts

    def evidence(self, share: float, margin: float) -> Floats:
        parts = (part[..., None] for part in (self.n_c, self.x_c, self.n_t, self.x_t))
        return log_e_harm(*parts, share=[share], margin=margin)


def detection(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Opt-outs of one arm are doubled: how many campaigns stop it before a quarter of the planned messages has gone out?"""
    runs = size.runs // 5
    default = MARGINS["opted_out"]
    found: dict[tuple[float, int, float], float] = {}
    when: dict[tuple[float, int], str] = {}
    best: dict[tuple[float, int], float] = {}
    needed = math.log(len(GUARDED) / ALPHA)
    for number, (base, sends) in enumerate((base, sends) for base in BASES for sends in SENDS):
        rng = np.random.default_rng([seed, 70, number])
        stream = _stream(rng, runs, sends // LOOKS, base, 2 * base)
        for margin in (0.0, default, 2 * default):
            log_e = stream.evidence(0.5, margin)
            _check(rng, stream, margin)
            first = _first(log_e >= needed)
            found[base, sends, margin] = float((first <= EARLY).mean())
            if margin == default:
                when[base, sends] = _share_for(first)
        at = EARLY - LAG - 1
        total = stream.x_c[:, at] + stream.x_t[:, at]
        p = stats.binom.sf(stream.x_t[:, at] - 1, total, 0.5)
        best[base, sends] = float((p <= ALPHA / len(GUARDED)).mean())
        advance()
    _claim_reference(findings, found, best, runs)
    for margin in (0.0, default, 2 * default):
        findings.grids.append(
            Grid(
                title=f"Guards: opt-outs doubled, margin {_points(margin)}, stopped within a quarter of the planned sends",
                corner="opt-outs of the control",
                columns=[f"{sends:,} sends" for sends in SENDS],
                rows=[
                    (percent(base, 1), [f"{found[base, sends, margin]:.3f}" for sends in SENDS])
                    for base in BASES
                ],
            )
        )
    findings.grids.append(
        Grid(
            title=f"Guards: the share of the planned sends by which nine campaigns in ten have stopped it, margin {_points(default)}",
            corner="opt-outs of the control",
            columns=[f"{sends:,} sends" for sends in SENDS],
            rows=[(percent(base, 1), [when[base, sends] for sends in SENDS]) for base in BASES],
        )
    )
    findings.grids.append(
        Grid(
            title="Guards: for comparison, an exact test without a margin that is allowed one look, at a quarter of the planned sends",
            corner="opt-outs of the control",
            columns=[f"{sends:,} sends" for sends in SENDS],
            rows=[(percent(base, 1), [f"{best[base, sends]:.3f}" for sends in SENDS]) for base in BASES],
        )
    )


def false_stops(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Arms that do no harm, or just what is tolerated: how many campaigns ever stop one, whatever the guard?"""
    runs, cells = size.runs // 10, [(base, sends) for base in BASES for sends in SENDS]
    worst = dict.fromkeys(("none", "margin"), 0.0)
    for number, (base, sends) in enumerate(cells):
        rng = np.random.default_rng([seed, 71, number])
        for kind, margins in (("none", dict.fromkeys(GUARDED, 0.0)), ("margin", MARGINS)):
            worst[kind] = max(worst[kind], float(_three_arms(rng, runs, sends, base, margins).mean()))
        advance()
    told = f"three arms with messages, three guards, {LOOKS} looks, in every one of {len(cells)} cells"
    _add_error(
        findings,
        f"an arm without harm is ever stopped: equal arms, no margin, {told}",
        worst["none"],
        runs,
        len(cells),
    )
    _add_error(
        findings,
        f"an arm whose harm is the margin of each guard is ever stopped: {told}",
        worst["margin"],
        runs,
        len(cells),
    )


def silence(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """The control has no messages: its users are met at once, the other arm's bit by bit, and the margin says what is tolerated."""
    runs, margin, sends = size.runs // 5, MARGINS_OVER_SILENCE["opted_out"], 10_000
    needed, found = math.log(len(GUARDED) / ALPHA), {}
    for number, rate in enumerate((margin, 1.5 * margin, 2 * margin)):
        rng = np.random.default_rng([seed, 72, number])
        n_t, x_t = _grow(rng, np.full((runs, LOOKS), sends // LOOKS), rate)
        n_c = np.full((runs, LOOKS), sends)
        stream = Stream(n_c, np.zeros_like(n_c), n_t, x_t)
        first = _first(stream.evidence(0.5, margin) >= needed)
        found[rate] = (float((first < LOOKS).mean()), float((first <= EARLY).mean()))
    _add_error(
        findings,
        f"over silence: an arm of which {percent(margin, 1)} opt out, which is the margin, is ever stopped",
        found[margin][0],
        runs,
        1,
    )
    for rate in (1.5 * margin, 2 * margin):
        _add_figure(
            findings,
            f"over silence: {percent(rate, 1)} opt out, margin {percent(margin, 1)}, {sends:,} messages: stopped within a quarter of them",
            f"{found[rate][1]:.3f}",
            runs,
        )
    advance()


def under_a_bandit(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Weights move to the arm from epoch to epoch, while everybody's opt-outs rise: no arm does more harm than the other."""
    runs, epochs, users = size.runs // 5, 10, 4000
    shares, rates = np.linspace(0.3, 0.9, epochs), np.linspace(0.005, 0.04, epochs)
    rng = np.random.default_rng([seed, 73])
    n_t = rng.binomial(users, shares, size=(runs, epochs))
    n_c = users - n_t
    x_t, x_c = (rng.binomial(n, rates) for n in (n_t, n_c))
    needed = math.log(1 / ALPHA)
    hits, pooled = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    for k in range(1, epochs + 1):
        parts = [part[:, :k] for part in (n_c, x_c, n_t, x_t)]
        hits |= log_e_harm(*parts, share=shares[:k]) >= needed
        sums = (part.sum(axis=1, keepdims=True) for part in parts)
        pooled |= log_e_harm(*sums, share=[float(shares[:k].mean())]) >= needed
    _add_error(
        findings,
        f"traffic moves from 30 % to 90 % in {epochs} epochs while opt-outs rise from 0.5 % to 4 % in both arms: the arm is ever stopped",
        float(hits.mean()),
        runs,
        1,
    )
    _add_figure(
        findings,
        "the same, if the epochs were pooled (which is not done)",
        percent(float(pooled.mean())),
        runs,
    )
    advance()


def _claim_reference(
    findings: Findings,
    found: Mapping[tuple[float, int, float], float],
    best: Mapping[tuple[float, int], float],
    runs: int,
) -> None:
    margin = MARGINS["opted_out"]
    for (base, sends), explained in (
        (REFERENCE, ""),
        (
            NATURAL,
            (
                "A quarter of these sends holds about 25 opt-outs of the control and 50 of the arm. An exact test with one look and no "
                f"margin finds that in {percent(best[NATURAL], 1)} of campaigns at this level, so no test that may look at any time "
                "can reach the bar. The cells below say how many sends it takes."
            ),
        ),
    ):
        share = found[base, sends, margin]
        findings.claims.append(
            Claim(
                topic=TOPIC,
                claim=f"opt-outs doubled from {percent(base, 0)} to {percent(2 * base, 0)}, {sends:,} planned sends in two equal arms, "
                f"margin {_points(margin)} (the default), three guards: stopped within a quarter of the planned sends",
                bar=f">= 90 % (by chance down to {percent(at_least(DETECTED, runs))})",
                obtained=percent(share),
                error=percent(standard_error(share, runs)),
                runs=f"{runs:,}",
                met=share >= at_least(DETECTED, runs),
                explained=explained,
            )
        )


def _three_arms(
    rng: np.random.Generator, runs: int, sends: int, base: float, margins: Mapping[str, float]
) -> Hits:
    """Which of `runs` campaigns with a control and two arms ever stop one, when each arm's harm is what is tolerated."""
    needed, hits = math.log(2 * len(GUARDED) / ALPHA), np.zeros(runs, dtype=bool)
    joined = rng.multinomial(sends // LOOKS, [1 / 3] * 3, size=(runs, LOOKS))
    for guard in GUARDED:
        rate = OTHERS.get(guard, base)
        n_c, x_c = _grow(rng, joined[..., 0], rate)
        for arm in (1, 2):
            n_t, x_t = _grow(rng, joined[..., arm], rate + margins[guard])
            log_e = Stream(n_c, x_c, n_t, x_t).evidence(0.5, margins[guard])
            hits |= (log_e >= needed).any(axis=1)
    return hits


def _stream(rng: np.random.Generator, runs: int, users: int, rate_c: float, rate_t: float) -> Stream:
    """A control and an arm that chance fills alike, `users` of both a look."""
    joined = rng.binomial(users, 0.5, size=(runs, LOOKS))
    return Stream(*_grow(rng, users - joined, rate_c), *_grow(rng, joined, rate_t))


def _grow(rng: np.random.Generator, joined: Counts, rate: float) -> tuple[Counts, Counts]:
    return np.cumsum(joined, axis=1), np.cumsum(rng.binomial(joined, rate), axis=1)


def _first(hits: Hits) -> Counts:
    """The number of looks' worth of sends that had gone out when a campaign stopped; LOOKS when it never did."""
    known = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1 + LAG, LOOKS)
    return np.minimum(known, LOOKS)


def _share_for(first: Counts) -> str:
    at = float(np.quantile(first, DETECTED, method="higher"))
    return "never" if at >= LOOKS else percent(at / LOOKS, 1)


def _check(rng: np.random.Generator, stream: Stream, margin: float) -> None:
    # What is computed here for many campaigns is what a look says of one.
    guard = Guard(key="opted_out", metric=BUILT_IN["opted_out"], margin=margin)
    runs, looks = stream.n_c.shape
    log_e = stream.evidence(0.5, margin)
    for run, k in zip(rng.integers(runs, size=SAMPLE), rng.integers(looks, size=SAMPLE), strict=True):
        users = np.array([[stream.n_c[run, k], stream.n_t[run, k]]])
        harmed = {"opted_out": np.array([[stream.x_c[run, k], stream.x_t[run, k]]])}
        (verdict,) = judge(
            GuardFacts(epochs=(1,), variants=("c", "t"), users=users, harmed=harmed),
            guards=[guard],
            arms=["t"],
            control="c",
            weights={1: {"c": 0.5, "t": 0.5}},
            alpha=ALPHA,
            tests=len(GUARDED),
        )
        if not np.isclose(verdict.log_e, log_e[run, k], rtol=AGREES):
            raise Twin(f"guards, look {k}: {log_e[run, k]}, in production {verdict.log_e}")


def _points(margin: float) -> str:
    return "none" if margin == 0 else f"{100 * margin:g} points"


def _add_error(findings: Findings, claim: str, share: float, runs: int, cells: int) -> None:
    limit = at_most(ALPHA, runs, cells)
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim=claim,
            bar=f"<= 5 % (by chance up to {percent(limit)})",
            obtained=("worst " if cells > 1 else "") + percent(share),
            error=percent(standard_error(share, runs)),
            runs=f"{runs:,} a cell" if cells > 1 else f"{runs:,}",
            met=share <= limit,
        )
    )


def _add_figure(findings: Findings, claim: str, obtained: str, runs: int) -> None:
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim=claim,
            bar="none (for comparison)",
            obtained=obtained,
            error="",
            runs=f"{runs:,}",
            met=None,
        )
    )
