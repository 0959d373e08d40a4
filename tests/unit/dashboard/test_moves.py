import pytest

from dashboard import moves


def test_percents_become_shares_only_when_they_are_a_hundred() -> None:
    assert moves.shares_of({"a": 25.0, "b": 75.0}) == {"a": 0.25, "b": 0.75}
    assert moves.shares_of({"a": 25.0, "b": 74.0}) is None
    # Thirds are shown with two decimals, and are whole again when they are sent.
    thirds = moves.shares_of({"a": 33.33, "b": 33.33, "c": 33.33})
    assert thirds is not None
    assert sum(thirds.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("text", ["", "coupon", "- key: a", "key: 3", "key: [", "message: {}"])
def test_what_is_no_variant_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        moves.variant_of(text)


def test_a_variant_is_read_as_it_stands_in_a_campaign_file() -> None:
    assert moves.variant_of("key: late\nmessage: {template: t}") == {
        "key": "late",
        "message": {"template": "t"},
    }
