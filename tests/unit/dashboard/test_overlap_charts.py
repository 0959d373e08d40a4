"""How segments overlap, as bars and as a table."""

from typing import Any

from dashboard import overlap_charts
from dashboard.calls.conditions import Count
from dashboard.calls.segments import Combination, Overlaps

NAMES = {"a": "First *one*", "b": "Second", "c": "Second", "d": "Nobody"}


def exactly(users: int) -> Count:
    return Count(users, True, users, users)


FOUND = Overlaps(
    segments=(("a", exactly(60), None), ("b", exactly(30), None), ("d", exactly(0), None)),
    combinations=(
        Combination(("a",), exactly(50)),
        Combination(("b",), exactly(20)),
        Combination(("a", "b"), exactly(10)),
    ),
)


def test_a_name_that_two_segments_have_comes_with_the_key() -> None:
    assert overlap_charts.titles(NAMES) == {
        "a": "First *one*",
        "b": "Second (b)",
        "c": "Second (c)",
        "d": "Nobody",
    }


def test_a_bar_for_every_combination_says_by_words_what_it_says_by_colour() -> None:
    rows = overlap_charts.bars(FOUND, overlap_charts.titles(NAMES))
    assert [(row["label"], row["users"], row["shared"]) for row in rows] == [
        ("only First *one*", 50, False),
        ("only Second (b)", 20, False),
        ("First *one* + Second (b)", 10, True),
    ]
    chart: dict[str, Any] = overlap_charts.combinations(rows, "Users").to_dict()
    bars, words = chart["layer"]
    assert bars["encoding"]["y"]["sort"] == [row["label"] for row in rows]
    assert words["encoding"]["text"]["field"] == "text"
    assert words["mark"]["color"] not in {"black", "white"}
    assert bars["encoding"]["color"]["condition"]["value"] != bars["encoding"]["color"]["value"]
    assert bars["encoding"]["x"]["scale"]["domain"][0] == 0


def test_many_combinations_are_cut_off_after_the_largest() -> None:
    many = Overlaps((), tuple(Combination((f"k{n}",), exactly(100 - n)) for n in range(40)))
    assert len(overlap_charts.bars(many, {})) == overlap_charts.MOST_BARS


def test_the_table_says_what_share_of_the_row_is_in_the_column() -> None:
    assert overlap_charts.pairs(FOUND, NAMES, "Of") == [
        {"Of": "First \\*one\\*", "First \\*one\\*": "60", "Second": "10 (16.7%)", "Nobody": "0 (0.0%)"},
        {"Of": "Second", "First \\*one\\*": "10 (33.3%)", "Second": "30", "Nobody": "0 (0.0%)"},
        {"Of": "Nobody", "First \\*one\\*": "0 (–)", "Second": "0 (–)", "Nobody": "0"},
    ]


def test_an_estimate_says_how_good_it_is() -> None:
    found = Overlaps((), (Combination(("a", "b"), Count(1000, False, 900, 1100)),))
    assert [row["text"] for row in overlap_charts.bars(found, NAMES)] == ["about 1,000 (900 to 1,100)"]
