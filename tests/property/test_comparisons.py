"""Many comparisons at once give each the numbers, and the reason, that one comparison gets alone."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats import comparisons, difference
from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData
from analysis.stats.reasons import WORDS

CLOSE = 1e-12
PARTS = {
    "mean": (),
    "ratio": ("mean_d", "variance_d", "covariance_yd"),
    "cuped": ("mean_x", "variance_x", "covariance_xy"),
    "ratio with cuped": (
        "mean_d", "variance_d", "covariance_yd", "mean_x", "variance_x", "covariance_xy", "covariance_dx",
    ),
}  # fmt: skip

means = st.one_of(
    st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e-300, 1e200, 1e308, math.inf, math.nan, -5.0, 0.05])
)
variances = st.one_of(
    st.floats(0, 1e6), st.sampled_from([0.0, -1.0, 1e-300, 1e-320, 1e305, 1e308, math.inf, math.nan])
)


def aggregates(parts: tuple[str, ...]) -> st.SearchStrategy[Aggregate]:
    more = {name: variances if name.startswith("variance") else means for name in parts}
    return st.builds(
        Aggregate,
        n=st.sampled_from([0, 1, 2, 3, 40, 1000, 10**7]),
        mean=means,
        variance=variances,
        **more,
    )


def sane(parts: tuple[str, ...]) -> st.SearchStrategy[Aggregate]:
    def build(n: int, mean: float, sd: float, rest: list[float]) -> Aggregate:
        # Covariances within the bounds that variances set: correlation below 1.
        of = dict(zip(("d", "x"), rest[:2], strict=True))
        fields = {
            "mean_d": 2 + of["d"], "variance_d": 1.5, "covariance_yd": 0.4 * sd * rest[2],
            "mean_x": 5 * of["x"], "variance_x": 4.0, "covariance_xy": 1.2 * sd * rest[3], "covariance_dx": rest[4],
        }  # fmt: skip
        return Aggregate(n=n, mean=mean, variance=sd * sd, **{name: fields[name] for name in parts})

    return st.builds(
        build, st.integers(2, 10**6), st.floats(-5, 50), st.floats(1e-3, 20),
        st.lists(st.floats(-1, 1), min_size=5, max_size=5),
    )  # fmt: skip


worlds = st.sampled_from(sorted(PARTS)).flatmap(
    lambda kind: st.lists(
        st.tuples(*[st.one_of(aggregates(PARTS[kind]), sane(PARTS[kind]))] * 2), min_size=1, max_size=8
    )
)


def alone(ask: Callable[[], object]) -> tuple[object, str]:
    try:
        return ask(), ""
    except InsufficientData as cannot:
        return None, cannot.reason


def close(mine: float, yours: float) -> bool:
    return mine == yours or math.isclose(mine, yours, rel_tol=CLOSE)


@settings(max_examples=150, deadline=None)
@given(worlds, st.floats(1e-6, 0.5))
def test_many_are_one_by_one(pairs: list[tuple[Aggregate, Aggregate]], level: float) -> None:
    found = comparisons.differences(
        comparisons.arms_of([control for control, _ in pairs]), comparisons.arms_of([arm for _, arm in pairs])
    )
    p = comparisons.p_values(found)
    shown = {
        "absolute": comparisons.absolute(found, level),
        "relative": comparisons.relative(found, level),
    }
    for i, (control, treatment) in enumerate(pairs):
        effect, reason = alone(lambda c=control, t=treatment: difference.difference(c, t))
        assert reason == WORDS[found.reason[i]]
        if effect is None:
            assert p.mask[i]
            assert all(interval.lower.mask[i] for interval in shown.values())
            continue
        assert isinstance(effect, difference.Difference)
        for name in ("estimate", "standard_error", "degrees_of_freedom", "covariance", "variance_reduction"):
            assert close(getattr(found, name)[i], getattr(effect, name)), name
        assert close(p[i], difference.p_value(effect))
        for name, interval in shown.items():
            ask = getattr(difference, name)
            limits, why = alone(lambda e=effect, ask=ask: ask(e, level))
            assert why == WORDS[interval.reason[i]]
            if limits is None:
                assert interval.lower.mask[i]
                continue
            assert isinstance(limits, difference.Interval)
            assert close(interval.lower[i], limits.lower)
            assert close(interval.upper[i], limits.upper)
            assert close(interval.estimate[i], limits.estimate)


@settings(max_examples=50, deadline=None)
@given(worlds)
def test_nothing_is_ever_not_a_number(pairs: list[tuple[Aggregate, Aggregate]]) -> None:
    found = comparisons.differences(
        comparisons.arms_of([control for control, _ in pairs]), comparisons.arms_of([arm for _, arm in pairs])
    )
    for values in (found.estimate, found.standard_error, comparisons.p_values(found)):
        assert np.isfinite(values.data).all()
    for interval in (comparisons.absolute(found, 0.05), comparisons.relative(found, 0.05)):
        assert np.isfinite(interval.lower.data).all()
        assert np.isfinite(interval.upper.data).all()
        told = ~interval.lower.mask
        assert (interval.lower[told] <= interval.estimate[told]).all()
        assert (interval.estimate[told] <= interval.upper[told]).all()


def test_the_scalar_formulas_are_those_of_a_textbook() -> None:
    """The code is shared, so agreement alone proves little: here the formulas are written out again, in plain floats."""
    rng = np.random.default_rng(7)
    for _ in range(50):
        a, b = (
            Aggregate(
                n=int(rng.integers(5, 500)), mean=rng.uniform(1, 9), variance=rng.uniform(0.1, 9),
                mean_x=rng.normal(), variance_x=rng.uniform(1, 3), covariance_xy=rng.uniform(-0.3, 0.3),
            )
            for _ in range(2)
        )  # fmt: skip
        theta = ((a.n - 1) * a.covariance_xy + (b.n - 1) * b.covariance_xy) / (
            (a.n - 1) * a.variance_x + (b.n - 1) * b.variance_x
        )
        parts = [
            (arm.variance + theta**2 * arm.variance_x - 2 * theta * arm.covariance_xy) / arm.n
            for arm in (a, b)
        ]
        found = difference.difference(a, b)
        assert found.estimate == pytest.approx(b.mean - a.mean - theta * (b.mean_x - a.mean_x), rel=1e-12)
        assert found.standard_error == pytest.approx(math.sqrt(sum(parts)), rel=1e-12)
        assert found.degrees_of_freedom == pytest.approx(
            sum(parts) ** 2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1)), rel=1e-12
        )
