"""The grammar of conditions as people write them, and what each of its words is called when another stood there."""

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Final

from lark import Lark

# name: the words, upper or lower case; where two begin alike the longer comes first.
KEYWORDS: Final = {
    "NOT_IN_SEGMENT": "not in segment",
    "NOT_IN_GROUP": "not in group",
    "IS_OLDER_THAN": "is older than",
    "IS_NEWER_THAN": "is newer than",
    "IS_NOT_SET": "is not set",
    "DID_NOT": "did not do",
    "IN_THE_LAST": "in the last",
    "IS_OF_TYPE": "is of type",
    "NOT_EXACTLY": "not exactly",
    "DOES_NOT_MATCH": "does not match",
    "CONTAINS_ALL": "contains all",
    "CONTAINS_ANY": "contains any",
    "IGNORING_CASE": "ignoring case",
    "IN_SEGMENT": "in segment",
    "IN_GROUP": "in group",
    "IS_SET": "is set",
    "IS_NOT": "is not",
    "IS_A": "is an?",
    "NOT_IN": "not in",
    "OLDER_THAN": "older than",
    "NEWER_THAN": "newer than",
    "LENGTH_OF": "length of",
    "ANY_OF": "any of",
    "AT_LEAST": "at least",
    "AT_MOST": "at most",
    "MORE_THAN": "more than",
    "LESS_THAN": "(?:less|fewer) than",
    "ONE_OF": "one of",
    "NONE_OF": "none of",
    "EXACTLY": "exactly",
    "EVERYONE": "everyone",
    "NOBODY": "nobody",
    "CONTAINS": "contains",
    "MATCHES": "matches",
    "VERSION": "version",
    "WITHIN": "within",
    "WHERE": "where",
    "TIMES": "times?",
    "ONCE": "once",
    "TWICE": "twice",
    "FALSE": "false",
    "TRUE": "true",
    "NULL": "null",
    "AND": "and",
    "NOT": "not",
    "BUT": "but",
    "DID": "did",
    "OR": "or",
    "IN": "in",
    "IS": "is",
    "IT": "it",
}

# How terminals are called together when something else was found: (if this one was expected, all of these, the words).
_TOGETHER: Final = (
    (
        "ANY_OF",
        frozenset(
            {"NAME", "QUOTED", "IT", "LENGTH_OF", "ANY_OF", "DID", "DID_NOT", "IN_SEGMENT", "NOT_IN_SEGMENT"}
        )
        | {"EVERYONE", "NOBODY", "LPAR", "NOT"},
        'a clause such as country = "NL" or did "Signed Up"',
    ),
    (
        "IS_SET",
        frozenset(
            {
                "EQUALS",
                "IDENTICAL",
                "DIFFERS",
                "LESS",
                "AT_LATEST",
                "MORE",
                "AT_FIRST",
                "IN",
                "NOT_IN",
                "IS",
                "IS_NOT",
            }
        )
        | {
            "IN_GROUP",
            "NOT_IN_GROUP",
            "IS_SET",
            "IS_NOT_SET",
            "IS_OF_TYPE",
            "IS_A",
            "OLDER_THAN",
            "NEWER_THAN",
            "MATCHES",
            "DOES_NOT_MATCH",
        }
        | {"IS_OLDER_THAN", "IS_NEWER_THAN", "CONTAINS", "CONTAINS_ALL", "CONTAINS_ANY"},
        "a comparison such as = or > or in (..) or contains or is set or older than",
    ),
    (
        "TRUE",
        frozenset({"STRING", "NUMBER", "TRUE", "FALSE", "NULL", "LSQB", "LBRACE"}),
        'a value such as "NL" or 5 or true',
    ),
    ("STRING", frozenset({"STRING", "NAME", "QUOTED"}), 'a name such as "Order Completed"'),
    (
        "AT_LEAST",
        frozenset(
            {"AT_LEAST", "AT_MOST", "MORE_THAN", "LESS_THAN", "EXACTLY", "NOT_EXACTLY", "ONE_OF", "NONE_OF"}
        ),
        "at least 2 times",
    ),
    ("WITHIN", frozenset({"WITHIN", "IN_THE_LAST"}), "within 30 days"),
    ("NUMBER", frozenset({"NUMBER", "ONCE", "TWICE"}), "a number"),
    ("NAME", frozenset({"NAME", "NULL"}), "a type such as string"),
    ("DURATION", frozenset({"DURATION"}), "a duration such as 30 days"),
    ("REGEX", frozenset({"REGEX", "STRING"}), "a pattern such as /^a/"),
)
_SIGNS: Final = {
    "LPAR": "(",
    "RPAR": ")",
    "RSQB": "]",
    "RBRACE": "}",
    "COMMA": ",",
    "COLON": ":",
    "$END": "the end",
}

GRAMMAR: Final = r"""
start: _either
_either: either
either: both (OR both)*
both: unary (AND unary)*
unary: NOT unary -> negated
     | clause -> plain

clause: LPAR either RPAR                          -> group
      | EVERYONE                                  -> everyone
      | NOBODY                                    -> nobody
      | subject test                              -> tested
      | LENGTH_OF subject test                    -> length
      | LENGTH_OF subject WHERE clause            -> length_where
      | ANY_OF subject WHERE clause               -> any_entry
      | DID event                                 -> did
      | DID_NOT event                             -> did_not
      | IN_SEGMENT keys                           -> in_segment
      | NOT_IN_SEGMENT keys                       -> not_in_segment

subject: NAME | QUOTED | IT

test: (EQUALS | IS) value                         -> equals
    | IDENTICAL value                             -> identical
    | (DIFFERS | IS_NOT) value                    -> differs
    | ordering value                              -> ordered
    | comparison VERSION (STRING | NUMBER)        -> version
    | IN values [IGNORING_CASE]                   -> within
    | NOT_IN values [IGNORING_CASE]               -> not_within
    | CONTAINS value [IGNORING_CASE]              -> contains
    | CONTAINS_ANY values [IGNORING_CASE]         -> within
    | CONTAINS_ALL entries [IGNORING_CASE]        -> contains_all
    | IN_GROUP word                               -> in_group
    | NOT_IN_GROUP word                           -> not_in_group
    | IS_SET                                      -> is_set
    | IS_NOT_SET                                  -> is_not_set
    | (IS_OF_TYPE | IS_A) (NAME | NULL)           -> of_type
    | (OLDER_THAN | NEWER_THAN) DURATION          -> aged
    | (IS_OLDER_THAN | IS_NEWER_THAN) DURATION    -> aged
    | (MATCHES | DOES_NOT_MATCH) REGEX            -> matches
    | (MATCHES | DOES_NOT_MATCH) STRING [IGNORING_CASE] -> matches_text

ordering: LESS | AT_LATEST | MORE | AT_FIRST
comparison: EQUALS | DIFFERS | LESS | AT_LATEST | MORE | AT_FIRST

event: word modifier*
modifier: (WITHIN | IN_THE_LAST) DURATION         -> window
        | bound (BUT bound)* [TIMES]              -> count
        | WHERE clause                            -> where
bound: (AT_LEAST | AT_MOST | MORE_THAN | LESS_THAN | EXACTLY | NOT_EXACTLY) (NUMBER | ONCE | TWICE) -> bound
     | (ONE_OF | NONE_OF) values                  -> bound

keys: word | LPAR word (COMMA word)* RPAR
word: NAME | QUOTED | STRING

values: LPAR [value (COMMA value)*] RPAR
entries: LPAR [entry (COMMA entry)*] RPAR
entry: value -> plain_entry | LPAR either RPAR -> tested_entry

value: STRING | NUMBER | TRUE | FALSE | NULL | array | document
array: LSQB [value (COMMA value)*] RSQB
document: LBRACE [pair (COMMA pair)*] RBRACE
pair: STRING COLON value

LPAR: "("
RPAR: ")"
LSQB: "["
RSQB: "]"
LBRACE: "{"
RBRACE: "}"
COMMA: ","
COLON: ":"
IDENTICAL: "=="
EQUALS: "="
DIFFERS: "!="
AT_LATEST: "<="
LESS: "<"
AT_FIRST: ">="
MORE: ">"
NAME: /[^\W\d][\w-]*(?:\.[\w-]+)*/
QUOTED: /`(?:\\.|[^`\\])*`/s
STRING: /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/s
NUMBER: /-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])/
DURATION: /[0-9]+(?:\.[0-9]+)?\s*(?:seconds?|minutes?|hours?|days?|weeks?|[smhdw])(?![\w.-])/i
REGEX: /\/(?:\\.|[^\/\\\n])+\/i?/
%ignore /\s+/
"""

NAME: Final = re.compile(r"[^\W\d][\w-]*(?:\.[\w-]+)*")
_RESERVED: Final = re.compile(
    "|".join(words for words in KEYWORDS.values() if " " not in words), re.IGNORECASE
)


def is_plain_name(name: str) -> bool:
    """Whether an attribute can be written without quotes."""
    return NAME.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def called(terminals: Collection[str]) -> list[str]:
    """What the terminals that could have stood somewhere are called, the most telling first."""
    left = set(terminals)
    words = []
    for mark, together, name in _TOGETHER:
        if mark in left:
            left -= together
            words.append(name)
    return words + sorted(_SIGNS.get(one, KEYWORDS.get(one, one.lower()).replace("?", "")) for one in left)


@cache
def parser_with(transformer_type: type[Any]) -> Lark:
    """The parser, which builds its result while it reads: nothing recurses, however deep the text nests."""
    return Lark(
        GRAMMAR + _keywords(),
        parser="lalr",
        lexer="contextual",
        transformer=transformer_type(),
        maybe_placeholders=False,
    )


def _keywords() -> str:
    lines = []
    for name, words in KEYWORDS.items():
        spaced = words.replace(" ", r"\s+")
        # The more words, the earlier it is tried.
        lines.append(f"{name}.{2 + words.count(' ')}: /{spaced}(?![\\w.-])/i")
    return "\n".join(lines)
