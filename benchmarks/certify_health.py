"""Sample ratio mismatch: how often a sound experiment is called broken, and how soon a broken one is found."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import special

from analysis.stats.srm import ALARM_E, CONCENTRATIONS, log_e_value
from benchmarks.claims import Claim, Findings, Size, at_least, at_most, percent, standard_error
from benchmarks.simulation import Floats, Twin

ALARM: Final = 0.001
DAYS: Final = 90
SOUND: Final = (
    (1000, (1.0, 1.0)),
    (100, (1.0, 1.0)),
    (10_000, (1.0, 1.0)),
    (1000, (9.0, 1.0)),
    (1000, (1.0, 1.0, 1.0)),
)
"""Users a day, weights of the arms."""


def log_e_values(rng: np.random.Generator, counts: Floats, weights: Sequence[float]) -> Floats:
    """`srm.log_e_value` of many counts: (.., arms) to (..); a sample is compared with production. Raises Twin."""
    theta = np.array(weights) / sum(weights)
    logs = []
    for c in CONCENTRATIONS:
        a = c * theta
        dirichlet = special.gammaln(a + counts).sum(axis=-1) - special.gammaln(a.sum() + counts.sum(axis=-1))
        prior = special.gammaln(a).sum() - special.gammaln(a.sum())
        logs.append(dirichlet - prior - (counts * np.log(theta)).sum(axis=-1))
    result = np.asarray(special.logsumexp(logs, axis=0)) - math.log(len(logs))
    rows, values = counts.reshape(-1, counts.shape[-1]), result.ravel()
    for i in rng.integers(len(rows), size=20).tolist():
        theirs = log_e_value(rows[i].astype(int).tolist(), weights)
        if abs(theirs - values[i]) > 1e-6 * max(1.0, abs(theirs)):
            raise Twin(f"log e-value {values[i]}, in production {theirs}")
    return result


def _counts(rng: np.random.Generator, runs: int, days: int, users: int, shares: Sequence[float]) -> Floats:
    drawn = rng.multinomial(users, np.array(shares) / sum(shares), size=(runs, days))
    return np.cumsum(drawn, axis=1).astype(np.float64)


def false_alarms(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    for number, (users, weights) in enumerate(SOUND):
        rng = np.random.default_rng([seed, 30, number])
        log_e = log_e_values(rng, _counts(rng, size.runs, DAYS, users, weights), weights)
        share = float((log_e.max(axis=1) >= math.log(ALARM_E)).mean())
        limit = at_most(ALARM, size.runs, len(SOUND))
        findings.claims.append(
            Claim(
                topic="sample ratio mismatch",
                claim=f"false alarms in {DAYS} daily looks, {users} users a day, weights {':'.join(f'{w:g}' for w in weights)}",
                bar=f"<= 0.1 % (by chance up to {percent(limit, 3)})",
                obtained=percent(share, 3),
                error=percent(standard_error(share, size.runs), 3),
                runs=f"{size.runs:,}",
                met=share <= limit,
            )
        )
        advance()


def detection(size: Size, seed: int, findings: Findings, advance: Callable[[], None]) -> None:
    """52/48 where 50/50 was meant, 1,000 users a day."""
    rng = np.random.default_rng([seed, 31])
    log_e = log_e_values(rng, _counts(rng, size.runs, 60, 1000, (0.52, 0.48)), (1.0, 1.0))
    alarms = log_e >= math.log(ALARM_E)
    day = np.where(alarms.any(axis=1), alarms.argmax(axis=1) + 1, 10**6)
    found = float((day <= 14).mean())
    half, most = (int(np.quantile(day, q, method="higher")) for q in (0.5, 0.9))
    findings.claims.append(
        Claim(
            topic="sample ratio mismatch",
            claim="a 52/48 split at 1,000 users a day is found within 14 days (read as: in the median experiment)",
            bar="median day <= 14",
            obtained=f"median day {half}; {percent(found, 1)} found by day 14, 90 % by day {most}",
            error=percent(standard_error(found, size.runs), 1),
            runs=f"{size.runs:,}",
            met=found >= at_least(0.5, size.runs),
        )
    )
    advance()
