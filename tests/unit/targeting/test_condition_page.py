"""The page on conditions is true: each row of its tables says one thing in three forms."""

import json
import re
from pathlib import Path

import pytest

from targeting.conditions import describe, validate_condition
from targeting.conditions.text import parse_text

PAGE = Path(__file__).resolve().parents[3] / "docs" / "conditions.md"
ROWS = re.findall(r"^\| `(.+?)` \| `(\{.*?\})`(?:, or `\$and`)? \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)


def test_the_page_shows_the_whole_language():
    assert len(ROWS) > 25
    shown = set(re.findall(r"\$\w+", PAGE.read_text()))
    assert {
        "$event",
        "$inSegment",
        "$olderThan",
        "$elemMatch",
        "$nor",
        "$regexi",
        "$vgte",
    } <= shown


@pytest.mark.parametrize(("text", "condition", "english"), ROWS, ids=[text for text, _, _ in ROWS])
def test_a_row_says_one_thing_in_three_forms(text, condition, english):
    wanted = json.loads(condition)
    assert parse_text(text) == wanted
    assert validate_condition(wanted) == []
    assert describe(wanted) == english
