import pytest

from analysis.stats.multiplicity import agreeing_alpha, benjamini_hochberg, holm

P = [0.001, 0.02, 0.04, 0.30]


def test_holm_and_benjamini_hochberg_by_hand():
    assert holm(P) == pytest.approx([0.004, 0.06, 0.08, 0.30])
    assert benjamini_hochberg(P) == pytest.approx([0.004, 0.04, 4 * 0.04 / 3, 0.30])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_what_cannot_be_told_still_counts_in_the_family(adjust):
    assert adjust([0.01, None]) == [pytest.approx(0.02), None]
    assert adjust([]) == []
    assert adjust([None]) == [None]


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_the_widened_level_is_the_adjusted_decision(adjust):
    for alpha in (0.01, 0.05, 0.1):
        for p, adjusted in zip(P, adjust(P), strict=True):
            assert (p < agreeing_alpha(p, adjusted, alpha)) == (adjusted < alpha)


def test_a_p_value_of_zero():
    assert holm([0.0, 0.5]) == [0.0, 0.5]
    assert agreeing_alpha(0.0, 0.0, 0.05) == 0.05
