"""Regular expressions: JavaScript's meaning, and a bound on the work whatever the pattern and the text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targeting.conditions import matches, validate_condition
from targeting.conditions.pattern_cost import ENDLESS, parse, ways_of
from targeting.conditions.pattern_walk import MAX_STEPS, Unwalkable, Walk
from targeting.conditions.patterns import MAX_SUBJECT, MAX_WAYS, Pattern, compile_pattern, danger, for_a_list
from targeting.conditions.scope import Allowance

EXPLOSIVE = [
    "(a+)+", "(a*)*b", "(?:a+){2,}", "(a|aa)*c", "(.|x)+", r"(\d|1)+", "(a?)+", "(?<n>a+)+", "([a-z]+)*", "(a|)+", "((a|aa))+",
    "(a+)+$", "(.*a){20}", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", "(a{1,30}){1,30}b", "(?=(a+)+$)b", r"(\s|\s)+x", "(a.|.b)+c",
    ".*a" * 11 + "b", "(a|a)" * 30 + "b", "a?" * 30 + "a" * 30,
]  # fmt: skip
HARMLESS = [
    "^a+b+$", "(mobile|tablet)", "(a|b)+", r"^[^@]+@[^@]+\.[a-z]{2,}$", "(ab){3}", "(a+)?", r"\(a+\)+", "[(a+)]+", "(a{2})+", "colou?r",
    "-12-25$", r"(?:\d{3}-)+x", "^[a-z0-9]+(-[a-z0-9]+)*$", r"^([\w.-]+)@([\w-]+\.)+[a-z]{2,}$", "((a|b+)c)+", "(foo|bar)*baz",
]  # fmt: skip
SLOW = [
    "a{1,100}a{1,100}a{1,100}b", "(?!(a+)+$)a", "(.*)(.*)(.*)(.*)(.*)x",
    r"\s*" * 40 + "x", "(?:a|b|ab)*c",
]  # fmt: skip
SUBJECTS = ["a" * 40 + "!", "a" * MAX_SUBJECT, "ab" * (MAX_SUBJECT // 2), " " * MAX_SUBJECT, "xy " * 1_000]


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_patterns_that_explode_elsewhere_are_refused(pattern):
    assert danger(pattern)
    assert [p.field for p in validate_condition({"a": {"$regex": pattern}}, field="c")] == ["c.a.$regex"]


@pytest.mark.parametrize("pattern", HARMLESS)
def test_plain_patterns_are_accepted(pattern):
    assert danger(pattern) is None
    assert validate_condition({"a": {"$regex": pattern}}) == []


@pytest.mark.parametrize("pattern", [*EXPLOSIVE, *SLOW, *HARMLESS])
def test_the_work_of_a_search_is_bounded(pattern):
    compiled = compile_pattern(pattern, ignore_case=False)
    assert compiled is not None
    for subject in SUBJECTS:
        assert compiled.most_ways(subject) <= MAX_WAYS
        assert Walk(parse(pattern.replace("(?<n>", "("), 0)).steps(subject)[1] <= MAX_STEPS + 1
        assert matches({"a": {"$regex": pattern}}, {"a": subject}) in {True, False}


def test_an_explosive_pattern_still_gets_its_answer():
    assert matches({"a": {"$regex": "(a+)+$"}}, {"a": "a" * 40 + "!"}) is False
    assert matches({"a": {"$regex": "(a+)+$"}}, {"a": "a" * 40}) is True
    assert matches({"a": {"$regexi": "^(a|aa)+$"}}, {"a": "A" * 41}) is True


def test_a_pattern_that_only_backtracking_can_search_is_not_searched_in_long_text():
    # A backreference: beyond the length at which every way can be tried, it does not match.
    assert matches({"a": {"$regex": r"(.*)(.*)\1\2!"}}, {"a": "abab!"}) is True
    assert matches({"a": {"$regex": r"(.*)(.*)\1\2!"}}, {"a": "a" * 4_000 + "!"}) is False


def test_text_that_is_too_long_does_not_match():
    assert matches({"a": {"$regex": "a"}}, {"a": "a" * MAX_SUBJECT})
    assert not matches({"a": {"$regex": "a"}}, {"a": "a" * (MAX_SUBJECT + 1)})


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^\s$", "\ufeff", True),
        (r"^\s$", "\x1c", False),
        (r"^\S$", "\x85", True),
        (r"[\S]", " ", False),
        (r"^.$", "\u2028", False),
        (r"\bcat\b", "écaté", True),  # to JavaScript é is no letter of a word
        (r"[\D]", "5", False),
        (r"[\W]", "_", False),
        (r"\Aa", "Aa", True),
        (r"a\Z", "aZ", True),
        ("[]", "a", False),
        ("[^]", "\n", True),
        ("a{,2}", "a{,2}", True),
        ("[a&&b]", "&", True),
        ("[+--]", ",", True),
        ("(?i)a", "A", False),
        ("a++", "aa", False),
        (r"\u0041", "A", True),
        (r"[\b]", "\x08", True),
        (r"\/x", "/x", True),
        ("(?<=a)b", "ab", True),
        ("(?<!a)b", "ab", False),
    ],
)
def test_the_meaning_is_that_of_javascript(pattern, text, expected):
    assert matches({"a": {"$regex": pattern}}, {"a": text}) is expected


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\b", "^", "$", r"\w", "c", "é"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,2}", "{0,3}?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(st.sampled_from(["=", "!"]), inner).map(lambda pair: f"(?{pair[0]}{pair[1]})"),
    ),
    max_leaves=6,
)
texts = st.text("abcé \n", max_size=8)


@given(pattern=patterns, text=texts, ignore_case=st.booleans())
def test_the_bounded_search_answers_as_the_engine_of_python(pattern, text, ignore_case):
    flags = re.IGNORECASE if ignore_case else 0
    assert Walk(parse(pattern, flags)).search(text) is (re.search(pattern, text, flags) is not None)


@given(pattern=patterns, text=texts)
def test_a_pattern_answers_alike_whichever_way_it_is_searched(pattern, text):
    compiled = Pattern(pattern, 0)
    assert compiled.search(text) is (re.search(pattern, text) is not None)


def test_what_cannot_be_walked_says_so():
    for pattern in (r"(a)\1", "(?:a{1,60}){1,60}"):
        with pytest.raises(Unwalkable):
            Walk(parse(pattern, 0))


def test_ways_are_counted():
    # One way, two ways each time, one for every length, never ending.
    for pattern, factor, degree in [("a+b", 1, 0), ("(a|a)(a|a)", 4, 0), (".*a.*a", 1, 2)]:
        ways = ways_of(parse(pattern, 0))
        assert (ways.factor, ways.degree) == (factor, degree)
    assert ways_of(parse("(a+)+", 0)) == ENDLESS


@pytest.mark.parametrize(
    "condition",
    [
        {"x": {"$elemMatch": {"$regex": "(a+)+$"}}},
        {"x": {"$all": [{"$regex": "(a+)+$"}]}},
        {"x": {"$elemMatch": {"$elemMatch": {"y": {"$regexi": "(a+)+$"}}}}},
    ],
)
def test_the_texts_of_one_list_share_what_searching_may_cost(condition):
    slow = "a" * 4_000 + "!"
    quick, slower = ([{"y": "aa"}], [{"y": slow}]) if "y" in str(condition) else ("aa", slow)
    assert not matches(condition, {"x": [slower] * 30 + [quick]})
    # The next list begins anew.
    assert matches(condition, {"x": [quick]})


def test_an_allowance_is_spent():
    allowance = for_a_list()
    explosive = compile_pattern("(a+)+$", ignore_case=False)
    assert sum(explosive.search_within("a" * 4_000 + "!", allowance) for _ in range(30)) == 0
    assert -MAX_STEPS <= allowance.steps <= 0
    allowance = Allowance(ways=100, steps=1_000)
    plain = compile_pattern("b$", ignore_case=False)
    assert plain.search_within("a" * 98 + "b", allowance)
    assert allowance.ways < 2
    # What the engine may no longer read is walked.
    assert plain.search_within("a" * 98 + "b", allowance)
    assert allowance.steps < 1_000


def test_many_harmless_texts_of_a_list_are_all_searched():
    texts = [f"https://example.org/page/{number}" for number in range(5_000)]
    for pattern in ("/4999$", r"page/\d+9999", "4999"):
        expected = "9999" not in pattern
        assert matches({"x": {"$elemMatch": {"$regex": pattern}}}, {"x": texts}) is expected
