"""Every condition has a text, and the text means the condition."""

import re

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments.errors import Invalid
from targeting.conditions import Scope, compile_condition, describe, validate_condition
from targeting.conditions.text import parse_text, print_text
from tests.property.condition_language import (
    NOW,
    attributes,
    everything,
    histories,
    memberships,
    odd_names,
    values,
)

people = st.tuples(attributes | st.dictionaries(odd_names, values, max_size=3), histories, memberships)
often = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@often
@given(condition=everything, person=people)
def test_a_condition_read_back_from_its_text_means_the_same(condition, person):
    assume(validate_condition(condition) == [])
    known, history, lists = person
    scope = Scope(NOW, events=history, segments=lists)
    again = parse_text(print_text(condition))
    assert validate_condition(again) == []
    assert compile_condition(again)(known, scope) is compile_condition(condition)(known, scope)


@often
@given(condition=everything)
def test_what_was_read_is_in_normal_form(condition):
    assume(validate_condition(condition) == [])
    normal = parse_text(print_text(condition))
    assert parse_text(print_text(normal)) == normal


@often
@given(condition=everything)
def test_every_condition_reads_aloud_on_one_line(condition):
    assume(validate_condition(condition) == [])
    english = describe(condition)
    said = re.sub(r'"(?:[^"\\]|\\.)*"', "", english)  # quoted text may hold anything
    assert not re.search(r"\$(and|or|not|event|in|all|size|elem|exists|eq|lt|gt)", said)
    assert "\n" not in english


words = st.sampled_from([
    "a", "b", "`x y`", "and", "or", "not", "(", ")", "=", "!=", "<", ">=", "in", "not in", "is set", "is not", '"x"', "'y'", "5", "-1.5",
    "true", "null", "[", "]", "{", "}", ":", ",", "did", "did not do", "within", "30 days", "at least", "times", "where", "it", "/x/",
    "older than", "any of", "length of", "matches", "version", "everyone", "nobody", '"', "`", "\\", "é", "$", "in segment", "\n", "'x\ny'",
])  # fmt: skip


@given(st.lists(words, max_size=12).map(" ".join) | st.text(max_size=20))
def test_any_text_is_read_or_refused_with_its_place(text):
    condition, refusal = None, ""
    try:
        condition = parse_text(text, field="audience.condition")
    except Invalid as error:
        refusal = str(error)
    if condition is None:
        assert refusal.startswith("audience.condition: line ")
        assert "\n" not in refusal
    else:
        assert parse_text(print_text(condition)) == condition or validate_condition(condition)
