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


def test_only_the_names_that_are_used() -> None:
    source = '{{ events["A b"].x }} {{ events.C.y | default("") }} {{ events["A b"].z }} {{ content.news }}'
    assert content.used_events(source) == ["A b", "C"]
    assert content.used_sources(source) == ["news"]
    assert content.used_attributes(source) == []
    assert content.used_events("{{ user.events }} {{ user['content'] }}") == []
