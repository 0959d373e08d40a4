"""Waves are a partition of those who take part: nobody is in two, nobody is left, whatever the sizes."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.allocation import Waves
from experiments.design import ExperimentDesign, read_design
from experiments.waves import STEPS, first_bound, next_bound
from targeting.draw import WAVE, draw_variants

MESSAGE = {"template": "spring", "language": "en_US"}
SIZES = st.one_of(
    st.floats(min_value=0.011, max_value=0.999).map(lambda share: Waves(share=share)),
    st.integers(min_value=1, max_value=100_000).map(lambda users: Waves(users=users)),
)


def design(**audience: Any) -> ExperimentDesign:
    document = {
        "key": "spring",
        "name": "Spring",
        "variants": [{"key": "silence", "control": True}, {"key": "reminder", "message": MESSAGE}],
        "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}],
        "audience": audience,
    }
    return read_design(document, library={})


def taking_part(made: ExperimentDesign, units: list[str], released: float | None) -> dict[str, str]:
    drawn = draw_variants(made, weights=made.shares, units=units, global_holdout=0.0, released=released)
    return {unit: key for unit, key in zip(units, drawn.variants, strict=True) if key is not None}


@given(
    waves=SIZES,
    users=st.integers(min_value=0, max_value=400),
    first=st.integers(min_value=0, max_value=10**9),
    coverage=st.sampled_from([0.3, 1.0]),
    holdout=st.sampled_from([0.0, 0.2]),
)
def test_waves_partition_the_audience(
    waves: Waves, users: int, first: int, coverage: float, holdout: float
) -> None:
    made, units = design(coverage=coverage, holdout=holdout), [f"user-{first + n}" for n in range(users)]
    everybody = taking_part(made, units, None)
    released, rounds = first_bound(waves), 0
    out = taking_part(made, units, released)
    while released < 1:
        waiting = len(everybody) - len(out)
        before, released = released, next_bound(waves, released=released, waiting=waiting)
        assert before < released <= 1
        after = taking_part(made, units, released)
        # Nobody moves, nobody leaves: a wave only adds.
        assert out.items() <= after.items()
        out, rounds = after, rounds + 1
        assert rounds <= STEPS
    assert out == everybody


@given(waves=SIZES, released=st.floats(min_value=0, max_value=0.9999), waiting=st.integers(0, 10**9))
def test_a_wave_reaches_further_by_about_its_size(waves: Waves, released: float, waiting: int) -> None:
    upto = next_bound(waves, released=released, waiting=waiting)
    assert released < upto <= 1
    wanted = (
        waves.share
        if waves.share is not None
        else (1 - released) * min(1.0, (waves.users or 0) / waiting if waiting else 1.0)
    )
    assert upto - released <= wanted + 1 / STEPS + 1e-9
    assert upto == 1 or upto - released >= wanted - 1e-9


def test_a_wave_is_a_random_sample_of_the_audience() -> None:
    """The first ones by id, or by age, are no more often in the first wave than the last ones; nor is one arm."""
    made, units = design(), [f"user-{n}" for n in range(20_000)]
    first = taking_part(made, units, 0.1)
    assert abs(len(first) - 2000) < 4.5 * np.sqrt(20_000 * 0.1 * 0.9)
    places = np.array([int(unit.split("-")[1]) for unit in first])
    # Four quarters of the ids, 500 expected in each (sd below 21).
    counts = np.histogram(places, bins=4, range=(0, 20_000))[0]
    assert np.abs(counts - len(first) / 4).max() < 4.5 * np.sqrt(500)
    reminded = sum(variant == "reminder" for variant in first.values())
    assert abs(reminded / len(first) - 0.5) < 4.5 * 0.5 / np.sqrt(len(first))


def test_who_waits_is_told_so() -> None:
    made, units = design(), [f"user-{n}" for n in range(1000)]
    drawn = draw_variants(made, weights=made.shares, units=units, global_holdout=0.0, released=0.25)
    assert set(drawn.reasons) == {None, WAVE}
    nobody = draw_variants(made, weights=made.shares, units=units, global_holdout=0.0, released=0.0)
    assert set(nobody.reasons) == {WAVE}
