"""A message that passes our checks is one that WhatsApp (as simulated) takes, and one that does not pass is refused there."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from delivery.content.rendering import compose
from delivery.outbox.dispatch_repository import Recipient
from delivery.simulator.components import fill, read_shape
from delivery.simulator.graph import GraphError
from delivery.templates.template_checks import Known, check_message
from delivery.whatsapp.payloads import TemplateMessage
from experiments.settings import Settings
from experiments.treatments import MessageContent
from experiments.vocabulary import Category

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
SETTINGS = Settings()
PERSON = Recipient(user_id="u", phone="+12025550100", time_zone=None, attributes={})
URL = {"type": "URL", "text": "Open", "url": "https://x.example/r/{{1}}"}
FIXED = {"type": "URL", "text": "Open", "url": "https://x.example/"}
QUICK = {"type": "QUICK_REPLY", "text": "Yes"}
CODE = {"type": "COPY_CODE", "text": "Copy"}


@st.composite
def templates(draw: st.DrawFn) -> tuple[list[dict[str, Any]], str]:
    named = draw(st.booleans())
    names = ["first", "code", "city"] if named else ["1", "2", "3"]
    count = draw(st.integers(0, 3))
    body = " ".join(["Hello", *(f"{{{{{name}}}}}" for name in names[:count])])
    components: list[dict[str, Any]] = [{"type": "BODY", "text": body}]
    header = draw(st.sampled_from([None, "plain", "variable", "IMAGE", "VIDEO", "DOCUMENT"]))
    if header == "plain":
        components.append({"type": "HEADER", "format": "TEXT", "text": "Hello"})
    elif header == "variable":
        components.append(
            {"type": "HEADER", "format": "TEXT", "text": "Hello {{who}}" if named else "Hello {{1}}"}
        )
    elif header is not None:
        components.append({"type": "HEADER", "format": header})
    buttons = draw(st.lists(st.sampled_from([URL, FIXED, QUICK, CODE]), max_size=3))
    if buttons:
        components.append({"type": "BUTTONS", "buttons": buttons})
    return components, "NAMED" if named else "POSITIONAL"


HEADERS = [
    None,
    {"text": "Ann"},
    {"text": "Ann", "name": "who"},
    {"image": "https://x.example/a.png"},
    {"video": "https://x.example/a.mp4"},
    {"document": "https://x.example/a.pdf"},
]
BUTTONS = st.one_of(
    st.builds(lambda n: {"type": "quick_reply", "index": n, "payload": "p"}, st.integers(0, 2)),
    st.builds(lambda n: {"type": "copy_code", "index": n, "code": "c"}, st.integers(0, 2)),
)
NAMES = st.lists(st.sampled_from(["first", "code", "city"]), unique=True, max_size=3)
SLIPS = {
    "parameters": st.one_of(
        st.lists(st.just("x"), max_size=3), NAMES.map(lambda names: dict.fromkeys(names, "x"))
    ),
    "header": st.sampled_from(HEADERS),
    "buttons": st.lists(BUTTONS, max_size=2, unique_by=lambda button: button["index"]),
    "link": st.sampled_from([None, "https://shop.example"]),
    "link_index": st.integers(0, 2),
}


def fitting(components: list[dict[str, Any]], form: str) -> dict[str, Any]:
    """A message that fits a template, unless none does."""
    shape = read_shape(components, "components", named=form == "NAMED")
    header: dict[str, Any] | None = None
    if shape.header_variables:
        header = {"text": "Ann"} | ({"name": "who"} if form == "NAMED" else {})
    elif shape.header not in (None, "TEXT"):
        header = {str(shape.header).lower(): "https://x.example/a"}
    kinds = [button.sub_type if button.required else None for button in shape.buttons]
    body = shape.body or ()
    return {
        "template": "t",
        "language": "en",
        "parameters": dict.fromkeys(body, "x") if form == "NAMED" else ["x" for _ in body],
        "header": header,
        "buttons": [
            {"type": "copy_code", "index": n, "code": "c"}
            for n, kind in enumerate(kinds)
            if kind == "copy_code"
        ],
        "link": "https://shop.example" if "url" in kinds else None,
        "link_index": kinds.index("url") if "url" in kinds else 0,
    }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    components, form = draw(templates())
    document = fitting(components, form)
    for name in draw(st.lists(st.sampled_from(sorted(SLIPS)), max_size=2, unique=True)):
        document[name] = draw(SLIPS[name])
    return components, form, document


@settings(max_examples=400)
@given(worlds())
def test_our_checks_and_whatsapp_agree(world: tuple[list[dict[str, Any]], str, dict[str, Any]]) -> None:
    components, form, document = world
    content = MessageContent.model_validate(document)
    # Of two values for one button the simulator believes the last.
    assume(content.link is None or content.link_index not in {button.index for button in content.buttons})
    known = Known("t", "en", "marketing", "APPROVED", None, form, components)
    found = check_message(
        content,
        [known],
        category=Category.MARKETING,
        field="m",
        starting=True,
        clicks_at="https://x.example/r/",
    )
    message = compose(
        content,
        callback="1",
        person=PERSON,
        experiment="e",
        variant="v",
        now=NOW,
        window_open=False,
        settings=SETTINGS,
    )
    assert isinstance(message, TemplateMessage)
    if content.link is not None:
        message = replace(message, url_suffix="token")
    refused = _refusal(message, components, form)
    assert (found.problems != ()) == (refused is not None), refused


def _refusal(message: TemplateMessage, components: list[dict[str, Any]], form: str) -> str | None:
    shape = read_shape(components, "components", named=form == "NAMED")
    try:
        fill(message.to_payload()["template"].get("components", []), shape)
    except GraphError as error:
        return f"{error.code}: {error.details}"
    return None
