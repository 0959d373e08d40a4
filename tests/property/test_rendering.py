"""Whatever a user's attributes, events and content hold: a message is written within WhatsApp's bounds, or refused by name."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from delivery.content.ingredients import Fetched, LatestEvent
from delivery.content.languages import choose
from delivery.content.rendering import Written, write
from delivery.whatsapp.payloads import MAX_BODY, MAX_HEADER, MAX_TEXT, HeaderText
from experiments import content
from experiments.errors import Invalid
from experiments.treatments import MessageContent

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.just("x" * 1100),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SOURCES = [
    "{{ user.a }}",
    "{{ user.a | default('you') }}",
    "{{ user.a.b[0].c | default('-') }}",
    "{{ user.a[0] }} {{ user.a | length }}",
    "{% if user.a %}{{ user.a }}{% else %}nothing{% endif %}",
    "{{ user.a | first }} {{ user.a | last }}",
    "{{ user.a | round(1) }} {{ user.a | upper | truncate(9) }}",
    "{{ user.a + user.b }} {{ user.a / user.b }}",
    "{{ user.a < user.b }} {{ user.a in user.b }}",
    '{{ events["E"].a }} {{ events["E"].at.year }}',
    "{{ content.c.a }} {{ content.c[0] }}",
    "{{ coupon ~ experiment ~ variant ~ now.hour }}",
]


@given(
    sources=st.lists(st.sampled_from(SOURCES), min_size=1, max_size=3),
    a=JSON,
    b=JSON,
    window_open=st.booleans(),
    zone=st.sampled_from([None, "Asia/Kolkata", "nowhere"]),
)
def test_every_user_is_written_to_or_the_field_is_named(
    sources: list[str], a: Any, b: Any, window_open: bool, zone: str | None
) -> None:
    assert all(content.problems_in(source, field="p") == [] for source in sources)
    message = MessageContent(
        template="t",
        language="en",
        parameters=tuple(sources),
        header={"text": sources[0]},  # type: ignore[arg-type]
        text="\n".join(sources),
    )
    written = _written(message, a, b, window_open, zone)
    if isinstance(written, Invalid):
        assert all(problem.field in message.sources() for problem in written.problems)
        return
    if written.text is not None:
        assert 0 < len(written.text) <= MAX_TEXT
        return
    assert isinstance(written.header, HeaderText)
    assert 0 < len(written.header.text) <= MAX_HEADER
    for text in written.parameters:
        assert 0 < len(text) <= MAX_BODY
        assert not {"\n", "\t", "\r"} & set(text)
        assert "    " not in text


def _written(
    message: MessageContent, a: Any, b: Any, window_open: bool, zone: str | None
) -> Written | Invalid:
    try:
        return write(
            message,
            user_id="u",
            attributes={"a": a, "b": b},
            time_zone=zone,
            locale=None,
            experiment="e",
            variant="v",
            now=NOW,
            window_open=window_open,
            events={"E": LatestEvent(NOW, {"a": a})},
            fetched=Fetched({"c": b}),
        )
    except Invalid as error:
        return error


LANGUAGES = st.sampled_from(["en_US", "en_GB", "en", "pt_BR", "pt_PT", "nl", "zh_CN", "zh_TW", "he", "fil"])


@given(LANGUAGES, st.lists(LANGUAGES, max_size=5), st.none() | st.text(max_size=12) | LANGUAGES)
def test_the_language_is_one_that_is_offered_and_the_exact_one_if_it_is(
    language: str, languages: list[str], locale: str | None
) -> None:
    chosen = choose(language, languages, locale=locale)
    assert chosen in {language, *languages}
    if locale in {language, *languages}:
        assert chosen == locale
    # Case and the kind of dash do not matter.
    if locale is not None and locale.isascii():
        assert chosen == choose(language, languages, locale=locale.upper().replace("_", "-"))
