"""A whole message for one person: words, language, header, buttons, events, content."""

from datetime import UTC, datetime
from typing import Any

import pytest

from delivery.content.ingredients import Fetched, LatestEvent
from delivery.content.readable import ContentUnavailable
from delivery.content.rendering import (
    WindowClosed,
    compose,
    coupon,
    events_needed,
    sources_needed,
)
from delivery.outbox.dispatch_repository import Recipient
from delivery.whatsapp.payloads import (
    CopyCode,
    HeaderMedia,
    HeaderText,
    QuickReply,
    TemplateMessage,
    TextMessage,
)
from experiments.errors import Invalid
from experiments.settings import Settings
from experiments.treatments import MessageContent

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
ANN = Recipient(
    user_id="u-1",
    phone="+12025550101",
    time_zone="Asia/Kolkata",
    attributes={"first_name": "Ann"},
    locale="pt-BR",
)


def content(**changes: Any) -> MessageContent:
    return MessageContent.model_validate({"template": "t", "language": "en_US"} | changes)


def made(message: MessageContent, **changes: Any) -> TemplateMessage | TextMessage:
    values: dict[str, Any] = {
        "callback": "17",
        "person": ANN,
        "experiment": "spring",
        "variant": "v",
        "now": NOW,
        "window_open": False,
        "settings": Settings(coupon_secret="s"),
    }
    return compose(message, **values | changes)


def refusal(message: MessageContent, **changes: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        made(message, **changes)
    (problem,) = caught.value.problems
    return problem.field, problem.message


def test_every_part_of_a_template() -> None:
    message = made(
        content(
            languages=["nl", "pt_BR"],
            header={"text": "For {{ user.first_name }}", "name": "who"},
            parameters={"first": "{{ user.first_name }}", "code": "{{ coupon }}"},
            buttons=[
                {"type": "copy_code", "index": 2, "code": "{{ coupon }}"},
                {"type": "quick_reply", "index": 0, "payload": "yes"},
            ],
            link="https://shop.example",
            link_index=1,
        )
    )
    code = coupon(experiment="spring", user_id="u-1", secret="s")
    assert message == TemplateMessage(
        to="+12025550101",
        template="t",
        language="pt_BR",
        body_parameters=(code, "Ann"),
        url_suffix=None,
        callback_data="17",
        body_names=("code", "first"),
        header=HeaderText("For Ann", "who"),
        buttons=(CopyCode(2, code), QuickReply(0, "yes")),
        url_index=1,
    )
    assert message.texts == ("For Ann", code, "Ann", code)


@pytest.mark.parametrize("kind", ["image", "video", "document"])
def test_a_header_of_media(kind: str) -> None:
    message = made(content(header={kind: "https://x.example/a"}))
    assert isinstance(message, TemplateMessage)
    assert message.header == HeaderMedia(kind, "https://x.example/a")  # type: ignore[arg-type]


def test_the_text_goes_out_while_the_window_is_open_and_the_template_otherwise() -> None:
    both = content(text="Hi {{ user.first_name }},\n\nbye", parameters=["x"])
    assert made(both, window_open=True) == TextMessage("+12025550101", "Hi Ann,\n\nbye", "17")
    assert made(both, window_open=True).language is None
    assert isinstance(made(both), TemplateMessage)
    alone = content(template=None, language=None, text="Hi")
    assert isinstance(made(alone, window_open=True), TextMessage)
    with pytest.raises(WindowClosed):
        made(alone)
    assert isinstance(made(content(), window_open=True), TemplateMessage)


def test_the_latest_event_on_the_users_clock() -> None:
    events = {"Order Completed": LatestEvent(NOW, {"product": "Tent", "lines": [{"sku": "A-1"}]})}
    message = content(
        parameters=[
            '{{ events["Order Completed"].product }}',
            '{{ events["Order Completed"].at.hour }}',
            '{{ events["Order Completed"].lines[0].sku }}',
            '{{ events["Signed Up"].at.hour | default("never") }}',
        ]
    )
    assert events_needed(message) == {"Order Completed", "Signed Up"}
    assert made(message, events=events).texts == ("Tent", "15", "A-1", "never")
    wanted = content(parameters=['{{ events["Order Completed"].prodcut }}'])
    assert refusal(wanted, events=events) == (
        "parameters[0]",
        "events.Order Completed.prodcut is missing",
    )
    assert refusal(wanted) == ("parameters[0]", "events.Order Completed is missing")
    beyond = content(parameters=['{{ events["Order Completed"].lines[1].sku }}'])
    assert refusal(beyond, events=events)[1] == "events.Order Completed.lines[1] is missing"


def test_content_and_what_stands_in_for_it() -> None:
    message = content(parameters=["{{ content.picks[0].name }}", "{{ content['news'].title }}"])
    assert sources_needed(message) == {"picks", "news"}
    values = {"picks": [{"name": "Tent"}], "news": {"title": "Sale"}}
    assert made(message, fetched=Fetched(values)).texts == ("Tent", "Sale")
    assert refusal(message, fetched=Fetched(values | {"picks": None}))[1] == "content.picks is missing"
    assert refusal(message, fetched=Fetched(values | {"picks": []}))[1] == "content.picks[0] is missing"
    with pytest.raises(ContentUnavailable) as caught:
        made(message, fetched=Fetched({"news": {}}, unavailable=("picks",)))
    assert caught.value.source == "picks"
    # Only the words that go out are asked what they read.
    both = content(parameters=["x"], text="{{ content.picks[0].name }}")
    assert made(both, fetched=Fetched({}, unavailable=("picks",))).texts == ("x",)
    shown = content(parameters=["{{ content.picks }}"])
    assert "list of records" in refusal(shown, fetched=Fetched(values))[1]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ user.first_name.upper }}", "a method is not a text"),
        ("{{ content.picks }}", "content.picks is missing"),
    ],
)
def test_what_would_read_badly_is_refused(source: str, words: str) -> None:
    assert words in refusal(content(parameters=[source]))[1]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"header": {"text": "x" * 61}}, "header.text", "61 characters"),
        (
            {"buttons": [{"type": "copy_code", "index": 0, "code": "x" * 16}]},
            "buttons[0].code",
            "16 characters",
        ),
        ({"parameters": {"first": "{{ user.x }}"}}, "parameters.first", "user.x is missing"),
        ({"header": {"text": "{{ user.x }}"}}, "header.text", "user.x is missing"),
    ],
    ids=["header", "code", "named", "header-variable"],
)
def test_each_part_has_its_own_bound_and_path(changes: dict[str, Any], field: str, words: str) -> None:
    found, message = refusal(content(**changes))
    assert found == field
    assert words in message


def test_a_text_has_a_longest_length() -> None:
    long = Recipient("u", "+12025550101", None, {"x": "y" * 4097})
    words = refusal(content(text="{{ user.x }}"), person=long, window_open=True)
    assert words == ("text", "is 4097 characters long for this user; WhatsApp takes 4096")
    blank = Recipient("u", "+12025550101", None, {"x": " \n "})
    assert "is empty" in refusal(content(text="{{ user.x }}"), person=blank, window_open=True)[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("محمد", "محمد"),
        ("נועה", "נועה"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),  # its joiners are kept
        ("Zoë\u200f", "Zoë\u200f"),
        ("\u2067Ann", "\u2067Ann\u2069"),  # a turn of direction ends with the value
        ("\u202eAnn", "\u202eAnn\u202c"),
        ("\u2066a\u202eb", "\u2066a\u202eb\u202c\u2069"),
        ("\u2068Ann\u2069", "\u2068Ann\u2069"),
    ],
    ids=["arabic", "hebrew", "family", "mark", "isolate", "override", "both", "closed"],
)
def test_every_script_and_no_name_turns_the_words_behind_it(name: str, text: str) -> None:
    person = Recipient("u", "+12025550101", None, {"name": name})
    assert made(content(parameters=["{{ user.name }}"]), person=person).texts == (text,)


def test_a_phone_number_is_not_among_the_words() -> None:
    assert refusal(content(parameters=["{{ user.phone }}"]))[1] == "user.phone is missing"
    assert "2025550101" not in repr(made(content(text="x"), window_open=True))
