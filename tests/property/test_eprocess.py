"""What holds for the e-process of two proportions, whatever the counts."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.stats.eprocess import exact_sequential
from analysis.stats.errors import InsufficientData

arms = st.one_of(st.integers(1, 60), st.integers(1, 10**7)).flatmap(
    lambda n: st.tuples(st.just(n), st.one_of(st.integers(0, n), st.integers(0, min(n, 30))))
)
shares = st.none() | st.floats(0.01, 0.99)
planned = st.none() | st.integers(1, 10**7)
margins = st.floats(-1, 1)


def of(control, treatment, share, planned_n=None):
    return exact_sequential(*control, *treatment, share=share, planned_n=planned_n)


@settings(max_examples=50)
@given(arms, arms, shares, planned)
def test_swapping_the_arms_turns_the_sign(a, b, share, planned_n):
    there = of(a, b, share, planned_n)
    back = of(b, a, None if share is None else 1 - share, planned_n)
    forth, reverse = there.interval(0.05), back.interval(0.05)
    assert forth.lower == pytest.approx(-reverse.upper, abs=1e-9)
    assert forth.upper == pytest.approx(-reverse.lower, abs=1e-9)
    try:
        assert there.p_value() == pytest.approx(back.p_value(), rel=1e-6)
    except InsufficientData:
        assert a[1] + b[1] in (0, a[0] + b[0])


@given(arms, arms, shares, margins)
def test_evidence_grows_with_the_successes_of_the_treatment_and_falls_with_the_margin(a, b, share, margin):
    now = of(a, b, share).log_e(margin)
    near = 1e-9 * max(1.0, abs(now))
    if b[1] < b[0]:
        assert of(a, (b[0], b[1] + 1), share).log_e(margin) >= now - near
    if a[1] < a[0]:
        assert of((a[0], a[1] + 1), b, share).log_e(margin) <= now + near
    assert of(a, b, share).log_e(min(1.0, margin + 0.01)) <= now + near


@settings(max_examples=50)
@given(arms, arms, shares, planned, st.sampled_from([0.001, 0.05, 0.3]))
def test_the_interval_holds_the_estimate_and_agrees_with_the_p_value(a, b, share, planned_n, level):
    found = of(a, b, share, planned_n)
    interval, wider = found.interval(level), found.interval(level / 2)
    assert -1 <= interval.lower <= interval.estimate <= interval.upper <= 1
    assert wider.lower <= interval.lower + 1e-9
    assert wider.upper >= interval.upper - 1e-9
    assume(0 < a[1] + b[1] < a[0] + b[0])
    p = found.p_value()
    assume(abs(p - level) > 1e-6)
    assert (p < level) == (interval.lower > 0 or interval.upper < 0)


@given(arms, arms, shares)
def test_the_estimate_is_never_rejected(a, b, share):
    found = of(a, b, share)
    assert found.log_e(found.estimate) <= 1e-6
    assert found.swapped().log_e(-found.estimate) <= 1e-6
