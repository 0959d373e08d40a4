"""The effect per user reached against two-stage least squares on the users' own rows, worked out by hand with numpy.

The formulas of `two_stage` are those of Wooldridge 2010, "Econometric Analysis of Cross Section and Panel Data", 2nd ed.,
section 5.2 (2SLS, eq 5.22) and its robust covariance (eq 5.34), with MacKinnon and White's HC2 weights 1 / (1 - h) of the
projection on the instruments. statsmodels gives the two reduced forms and checks the ratio once more.
"""

import math

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import difference
from analysis.stats.errors import InsufficientData
from analysis.stats.iv import complier_effect

DATA_SETS = 100


def two_stage(y, d, z):
    """Coefficient of d and its HC2 standard error in y = a + b d + e, instruments (1, z)."""
    instruments = np.column_stack([np.ones(len(z)), z])
    regressors = np.column_stack([np.ones(len(d)), d])
    inverse = np.linalg.inv(instruments.T @ instruments)
    fitted = instruments @ inverse @ instruments.T @ regressors
    bread = np.linalg.inv(fitted.T @ fitted)
    beta = bread @ fitted.T @ y
    residual = y - regressors @ beta
    leverage = np.einsum("ij,jk,ik->i", instruments, inverse, instruments)
    meat = (fitted * (residual**2 / (1 - leverage))[:, None]).T @ fitted
    return beta[1], math.sqrt((bread @ meat @ bread)[1, 1])


def aggregate(y, d, x=None):
    c = np.cov([y, d] if x is None else [y, d, x])
    more = {} if x is None else {
        "mean_x": x.mean(), "variance_x": c[2, 2], "covariance_xy": c[0, 2], "covariance_dx": c[1, 2]
    }  # fmt: skip
    return Aggregate(
        n=len(y), mean=y.mean(), variance=c[0, 0], mean_d=d.mean(), variance_d=c[1, 1], covariance_yd=c[0, 1], **more
    )  # fmt: skip


def users():
    rng = np.random.default_rng(20261202)
    for i in range(DATA_SETS):
        n = int(rng.integers(60, 600))
        z = (rng.random(n) < rng.uniform(0.3, 0.7)).astype(float)
        eager = rng.random(n)
        # Also users whom the control reaches (another campaign's message would be such a case).
        d = (eager < np.where(z == 1, 0.85, 0.2 * (i % 2))).astype(float)
        y = rng.gamma(2, 1 + eager) * rng.lognormal(0, 0.5, n) + 0.4 * d
        yield (y if i % 3 else (y > 2).astype(float)), d, z


def test_it_is_two_stage_least_squares_with_hc2():
    for y, d, z in users():
        found = complier_effect(
            *(aggregate(y[z == arm], d[z == arm]) for arm in (0, 1)),
        )
        beta, error = two_stage(y, d, z)
        assert found.estimate == pytest.approx(beta, rel=1e-9, abs=1e-12)
        assert found.standard_error == pytest.approx(error, rel=1e-9)
        forms = [sm.OLS(each, sm.add_constant(z)).fit(cov_type="HC2") for each in (y, d)]
        assert found.estimate == pytest.approx(forms[0].params[1] / forms[1].params[1], rel=1e-9, abs=1e-12)
        assert found.compliance == pytest.approx(forms[1].params[1], rel=1e-9)
        assert found.first_stage == pytest.approx(abs(forms[1].tvalues[1]), rel=1e-9)


def test_a_covariate_leaves_the_estimate_of_the_report_times_the_share_reached():
    rng = np.random.default_rng(4)
    for y, d, z in users():
        x = y + rng.normal(0, y.std(), len(y))
        arms = [aggregate(y[z == arm], d[z == arm], x[z == arm]) for arm in (0, 1)]
        plain = [
            Aggregate(
                n=a.n, mean=a.mean, variance=a.variance,
                mean_x=a.mean_x, variance_x=a.variance_x, covariance_xy=a.covariance_xy,
            )
            for a in arms
        ]  # fmt: skip
        found, shown = complier_effect(*arms), difference(*plain)
        assert found.estimate * found.compliance == pytest.approx(shown.estimate, rel=1e-9, abs=1e-12)
        theta = sum((a.n - 1) * a.covariance_xy for a in arms) / sum((a.n - 1) * a.variance_x for a in arms)
        beta, error = two_stage(y - theta * x, d, z)
        assert found.estimate == pytest.approx(beta, rel=1e-9, abs=1e-12)
        assert found.standard_error == pytest.approx(error, rel=1e-9)


def test_a_message_that_reaches_everybody_leaves_the_effect_as_it_is():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 50), rng.normal(0.5, 2, 80)
    found = complier_effect(aggregate(a, 0 * a), aggregate(b, 0 * b + 1))
    shown = difference(
        *(Aggregate(n=len(v), mean=v.mean(), variance=v.var(ddof=1)) for v in (a, b)),
    )
    assert (found.compliance, found.first_stage) == (1.0, math.inf)
    assert found.estimate == pytest.approx(shown.estimate, rel=1e-12)
    assert found.standard_error == pytest.approx(shown.standard_error, rel=1e-12)
    assert found.degrees_of_freedom == pytest.approx(shown.degrees_of_freedom, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 1}, "only one user"),
        ({"n": 0}, "no users"),
        ({"mean": math.nan}, "not a finite number"),
        ({"mean_d": 0.25}, "both arms"),
        ({"variance": 0.0, "covariance_yd": 0.0, "variance_d": 0.0, "mean": 1.0}, "spread"),
    ],
)
def test_what_cannot_be_told(change, words):
    control = {"n": 40, "mean": 1.0, "variance": 0.0, "mean_d": 0.25, "variance_d": 0.0, "covariance_yd": 0.0}
    treated = {
        **control,
        "mean": 2.0,
        "variance": 1.0,
        "mean_d": 0.75,
        "variance_d": 0.2,
        "covariance_yd": 0.1,
    }
    with pytest.raises(InsufficientData, match=words):
        complier_effect(Aggregate(**control), Aggregate(**{**treated, **change}))
