"""What a template declares and what a message fills in, held against each other."""

import pytest

from delivery.simulator.components import Shape, fill, read_shape
from delivery.simulator.graph import GraphError
from experiments.errors import Invalid

BODY = {"type": "BODY", "text": "Hello {{1}}, {{2}} for you"}
BUTTONS = {
    "type": "BUTTONS",
    "buttons": [
        {"type": "QUICK_REPLY", "text": "Tell me more"},
        {"type": "URL", "text": "Shop", "url": "https://example.com/r/{{1}}"},
        {"type": "URL", "text": "Home", "url": "https://example.com"},
        {"type": "COPY_CODE", "example": "SAVE10"},
        {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+12025550123"},
    ],
}
PICTURE = {"type": "HEADER", "format": "IMAGE"}


def _text(*texts: str) -> dict:
    return {"type": "body", "parameters": [{"type": "text", "text": text} for text in texts]}


def _button(sub_type: str, index: int, **parameter) -> dict:
    return {"type": "button", "sub_type": sub_type, "index": str(index), "parameters": [parameter]}


def _image(**media) -> dict:
    return {"type": "header", "parameters": [{"type": "image", "image": media}]}


WHOLE = [
    _image(link="https://example.com/a.png"),
    _text("Ann", "a coupon"),
    _button("quick_reply", 0, type="payload", payload="more"),
    _button("url", 1, type="text", text="tok"),
    _button("copy_code", 3, type="coupon_code", coupon_code="SAVE10"),
]
SHAPE = read_shape([PICTURE, BODY, {"type": "FOOTER", "text": "Bye"}, BUTTONS], "components")


def test_a_whole_message_fits():
    filled = fill(WHOLE, SHAPE)
    assert (filled.token, filled.payloads) == ("tok", {0: "more"})
    assert SHAPE.quick_replies == ((0, "Tell me more"),)
    assert fill([*WHOLE[:2], *WHOLE[3:]], SHAPE).payloads == {}  # a quick reply may keep its own text
    assert fill([_image(id="1234"), *WHOLE[1:]], SHAPE).token == "tok"


def _without(position: int, *instead: dict) -> list[dict]:
    return [*WHOLE[:position], *instead, *WHOLE[position + 1 :]]


@pytest.mark.parametrize(
    ("components", "code", "words"),
    [
        (_without(0), 132012, "expected IMAGE, received none"),
        (
            _without(0, {"type": "header", "parameters": [{"type": "text", "text": "x"}]}),
            132012,
            "received TEXT",
        ),
        (_without(0, _image(link="a.png")), 131009, "must be a URL"),
        (_without(0, _image()), 131008, "image.link"),
        (_without(1, _text("Ann")), 132000, "(1) does not match the expected number of params (2)"),
        (_without(1, _text("Ann", "b", "c")), 132000, "(3)"),
        (_without(1), 132000, "(0)"),
        (
            _without(
                1, {"type": "body", "parameters": [{"type": "text", "text": "x", "parameter_name": "y"}] * 2}
            ),
            132012,
            "positional",
        ),
        (_without(3), 131008, "Button at index 1 of type url requires a parameter"),
        (_without(4), 131008, "index 3"),
        (_without(3, _button("url", 2, type="text", text="x")), 132018, "index 2 takes no url"),
        (_without(3, _button("url", 9, type="text", text="x")), 132018, "index 9"),
        (_without(3, _button("url", 1, type="payload", payload="x")), 132012, "takes a text, not payload"),
        (
            _without(3, {"type": "button", "sub_type": "url", "index": 1, "parameters": []}),
            132018,
            "one parameter",
        ),
        (_without(3, _button("url", 10, type="text", text="x")), 131009, "between 0 and 9"),
        (_without(2, _button("quick_reply", 0, type="payload", payload="")), 131008, "no payload"),
        (_without(4, _button("copy_code", 3, type="coupon_code")), 131008, "no coupon_code"),
        ([{"type": "limited_time_offer"}], 131009, "not known"),
        ([{"type": "body", "parameters": [{"type": "sticker"}]}], 131009, "not known"),
        ([{"type": "body", "parameters": ["Ann"]}], 131009, "must be an object"),
        ([{"type": "body", "parameters": [{"type": "currency"}]}], 131008, "no currency"),
    ],
)
def test_what_does_not_fit_gets_its_code(components, code, words):
    with pytest.raises(GraphError) as caught:
        fill(components, SHAPE)
    assert caught.value.code == code
    assert words in caught.value.details


def test_named_parameters_need_their_names():
    shape = read_shape([{"type": "BODY", "text": "Hello {{name}}, {{code}}, {{name}}"}], "components")
    assert shape == Shape(body=("name", "code"), named=True)

    def named(*names: str | None) -> list[dict]:
        parameters = [
            {"type": "text", "text": "x"} | ({"parameter_name": name} if name else {}) for name in names
        ]
        return [{"type": "body", "parameters": parameters}]

    fill(named("code", "name"), shape)
    for names, code in ((("name",), 132000), ((None, None), 132012), (("name", "other"), 132012)):
        with pytest.raises(GraphError) as caught:
            fill(named(*names), shape)
        assert caught.value.code == code


def test_a_header_of_text_has_its_own_variables():
    shape = read_shape(
        [{"type": "HEADER", "format": "TEXT", "text": "For {{1}}"}, {"type": "BODY", "text": "Hi"}], "c"
    )
    fill([{"type": "header", "parameters": [{"type": "text", "text": "Ann"}]}], shape)
    with pytest.raises(GraphError) as caught:
        fill([], shape)
    assert caught.value.code == 132000


def test_a_loose_shape_checks_its_body_only():
    fill([_text("x"), _button("url", 0, type="text", text="tok")], Shape(body=("1",), loose=True))
    assert fill([_text("x"), _button("url", 4, type="text", text="tok")], None).token == "tok"
    with pytest.raises(GraphError):
        fill([], Shape(body=("1",), loose=True))
    fill([_text("x", "y")], Shape(body=None, loose=True))


@pytest.mark.parametrize(
    ("components", "field"),
    [
        ("none", "c"),
        ([], "c"),
        ([{"type": "HEADER", "format": "GIF"}, BODY], "c[0].format"),
        ([{"type": "HEADER", "format": "TEXT"}, BODY], "c[0].text"),
        ([BODY, BODY], "c[1].type"),
        ([{"type": "CAROUSEL"}], "c[0].type"),
        ([{"type": "BODY"}], "c[0].text"),
        ([{"type": "BODY", "text": "{{2}}"}], "c"),
        ([BODY, {"type": "BUTTONS"}], "c[1].buttons"),
        ([BODY, {"type": "BUTTONS", "buttons": [{"type": "LEVER"}]}], "c[1].buttons[0].type"),
        ([BODY, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}]}], "c[1].buttons[0].text"),
    ],
)
def test_wrong_declarations_are_named(components, field):
    with pytest.raises(Invalid) as caught:
        read_shape(components, "c")
    assert caught.value.problems[0].field == field
