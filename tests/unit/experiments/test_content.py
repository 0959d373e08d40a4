"""What a message's text may read, and what of it can be refused before anybody is messaged."""

import pytest

from experiments import content


@pytest.mark.parametrize(
    "source",
    [
        '{{ events["Order Completed"].product }}',
        "{{ events.Signup.at.hour }}",
        "{{ content.picks[0].name }}",
        "{{ (content.picks | first).name | default('x') }}",
        '{% if events["Order Completed"] %}again{% else %}first{% endif %}',
    ],
)
def test_events_and_content_by_name(source: str) -> None:
    assert content.problems_in(source, field="p") == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ events }}", "`events` needs a name"),
        ("{{ events | length }}", "`events` needs a name"),
        ("{{ events[user.last] }}", "`events` needs a name"),
        ("{{ content[variant].x }}", "`content` needs a name"),
        ("{{ content[0] }}", "`content` needs a name"),
        ("{{ user.tags[events] }}", "`events` needs a name"),
        ("{{ event.x }}", "unknown template variable 'event'"),
        ("{{ contents.x }}", "unknown template variable 'contents'"),
    ],
)
def test_what_is_fetched_must_be_named_outright(source: str, words: str) -> None:
    (problem,) = content.problems_in(source, field="p")
    assert problem.field == "p"
    assert words in problem.message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ 1/0 }}", "fails for everybody: division by zero"),
        ("Hi {{ user.name }} {{ 1/0 }}", "division by zero"),
        ("{{ user.points / 0 }}", "division by zero"),
        ("{{ user.points // (1 - 1) }}", "by zero"),
        ("{% if user.vip %}{{ 1/0 }}{% endif %}", "division by zero"),
        ("{{ user.points | default(1/0) }}", "division by zero"),
        (" ", "is empty for everybody"),
        ("{{ 'a'.b }}", "no attribute 'b'"),
        ("{{ 'a' + 1 }}", "concatenate"),
        ("{{ user.name | truncate(2) }}", "expected length >= 3, got 2"),
        ("{{ user.name | truncate(user.n) }}", "written out"),
        ("{{ user.name is nope }}", "no test 'nope'"),
        # Ten to the power of this would fill the memory of whoever renders it.
        ("{{ 1 | round(99999999999, 'ceil') }}", "digits from 0 to 15"),
        ("{{ user.points | round(user.n) }}", "digits from 0 to 15"),
    ],
)
def test_what_fails_whoever_the_user_is(source: str, words: str) -> None:
    (problem,) = content.problems_in(source, field="p")
    assert words in problem.message


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a'.b | default('x') }}",
        "{% if 'a'.b is defined %}x{% endif %}",
        "{{ user.points / 2 }}",
        "{{ user.points / user.n }}",
        "{{ user.points | round(2, 'floor') }}",
        "{{ user.name | truncate(20) }}",
        "{{ -1 }} {{ 'a' ~ 1 }}",
    ],
)
def test_what_may_have_a_value(source: str) -> None:
    assert content.problems_in(source, field="p") == []


def test_only_the_names_that_are_used() -> None:
    source = '{{ events["A b"].x }} {{ events.C.y | default("") }} {{ events["A b"].z }} {{ content.news }}'
    assert content.used_events(source) == ["A b", "C"]
    assert content.used_sources(source) == ["news"]
    assert content.used_attributes(source) == []
    assert content.used_events("{{ user.events }} {{ user['content'] }}") == []
