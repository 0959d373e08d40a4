"""Conditions as people write them, read into JSON: `country in ("NL", "BR") and last_order older than 30 days`.

`grammar` says what can be written, `reader` builds the condition while the parser reads, and
`printing` writes one. The result has a normal form, the one that printing and reading again leaves alone: `and`
joins the clauses of one object where their names allow it, `not (a or b)` is `$nor`, a negated test is `$not` around its
clause, durations are the shortest there are, and what `$event` assumes (at least once, any properties) is left out.
"""

from typing import Any, Final

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from experiments.errors import Invalid
from targeting.conditions.checks import MAX_TEXT, validate_condition
from targeting.conditions.grammar import called, parser_with
from targeting.conditions.printing import print_text
from targeting.conditions.reader import Meaningless, Part, Reader

__all__ = ["condition_of", "parse_text", "print_text"]

_LONGEST: Final = 40


def condition_of(value: Any, *, field: str = "condition") -> dict[str, Any]:
    """The condition that somebody sent, as JSON or as text. Raises Invalid with every problem and its path."""
    condition = parse_text(value, field=field) if isinstance(value, str) else value
    problems = validate_condition(condition, field=field)
    if problems:
        raise Invalid.of(problems)
    valid: dict[str, Any] = condition
    return valid


def parse_text(text: str, *, field: str = "condition") -> dict[str, Any]:
    """The condition that a text says. Raises Invalid naming line, column, what was found and what was expected.

    Only the form is checked here: `validate_condition` knows which values the operators take.

    >>> parse_text('country in ("NL", "BR") and not vip = true')
    {'country': {'$in': ['NL', 'BR']}, '$not': {'vip': True}}
    """
    if len(text) > MAX_TEXT:
        raise Invalid(f"a condition has at most {MAX_TEXT:,} characters", field=field)
    try:
        read: Any = parser_with(Reader).parse(text)
    except UnexpectedInput as error:
        raise Invalid(_explain(error, text), field=field) from None
    except Meaningless as error:
        raise Invalid(str(error), field=field) from None
    part: Part = read
    condition: dict[str, Any] = part.condition
    return condition


def _explain(error: UnexpectedInput, text: str) -> str:
    """One line: where, what would have been right there, and what stood there."""
    expected: set[str] = set()
    place, found = len(text), "the end"
    if isinstance(error, UnexpectedToken):
        expected = set(error.accepts or error.expected)
        if error.token.type != "$END":
            place, found = error.token.start_pos or 0, f"`{_short(error.token)}`"
    elif isinstance(error, UnexpectedCharacters):
        expected = set(error.allowed or ())
        place = error.pos_in_stream or 0
        found = f"`{_short(text[place : place + _LONGEST].split(maxsplit=1)[0])}`"
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    shown = ", ".join(called(expected))
    unquoted = "STRING" in expected and "NAME" not in expected and found[1:2].isalpha()
    hint = '; text stands in quotes, as in "NL"' if unquoted and place < len(text) else ""
    return f"line {line}, column {column}: expected {shown}; found {found}{hint}"


def _short(found: str) -> str:
    found = " ".join(found.split())
    return found if len(found) < _LONGEST else found[:_LONGEST] + ".."
