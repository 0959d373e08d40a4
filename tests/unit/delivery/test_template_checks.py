"""Which message fits which template, and the path of what does not."""

from typing import Any

import pytest

from delivery.templates.template_checks import Known, check_message
from experiments.treatments import MessageContent
from experiments.vocabulary import Category

URL = {"type": "URL", "text": "Shop", "url": "https://x.example/r/{{1}}"}
QUICK = {"type": "QUICK_REPLY", "text": "Stop"}
CODE = {"type": "COPY_CODE", "example": ["A"]}
BODY = {"type": "BODY", "text": "Hi {{1}}, take {{2}}"}
NAMED = {"type": "BODY", "text": "Hi {{first}}, take {{code}}"}
HEADER = {"type": "HEADER", "format": "TEXT", "text": "For {{1}}"}
TWO = ["a", "b"]


def known(*components: dict[str, Any], **changes: Any) -> Known:
    values: dict[str, Any] = {
        "name": "t",
        "language": "en",
        "category": "marketing",
        "status": "APPROVED",
        "quality": "GREEN",
        "parameter_format": "POSITIONAL",
        "components": components or (BODY,),
    }
    return Known(**values | changes)


def with_buttons(*buttons: dict[str, Any]) -> Known:
    return known(BODY, {"type": "BUTTONS", "buttons": list(buttons)})


def message(**changes: Any) -> MessageContent:
    return MessageContent.model_validate({"template": "t", "language": "en", "parameters": TWO} | changes)


def found(
    content: MessageContent,
    *templates: Known,
    starting: bool = False,
    category: Category = Category.MARKETING,
) -> tuple[dict[str, str], dict[str, str]]:
    made = check_message(
        content,
        templates,
        category=category,
        field="m",
        starting=starting,
        clicks_at="https://x.example/r/",
    )
    return (
        {problem.field: problem.message for problem in made.problems},
        {doubt.field: doubt.message for doubt in made.doubts},
    )


def test_a_message_that_fits() -> None:
    whole = known(
        {"type": "HEADER", "format": "IMAGE"},
        BODY,
        {"type": "FOOTER", "text": "Bye"},
        {"type": "BUTTONS", "buttons": [QUICK, URL, CODE]},
    )
    content = message(
        header={"image": "https://x.example/a.png"},
        buttons=[
            {"type": "quick_reply", "index": 0, "payload": "p"},
            {"type": "copy_code", "index": 2, "code": "{{ coupon }}"},
        ],
        link="https://shop.example",
        link_index=1,
    )
    assert found(content, whole) == ({}, {})
    assert found(message(template=None, language=None, parameters=[], text="hi")) == ({}, {})


@pytest.mark.parametrize(
    ("content", "template", "field", "words"),
    [
        ({"parameters": ["a"]}, known(), "m.parameters", "has 1, but the template's body has 2"),
        ({"parameters": ["a", "b", "c"]}, known(), "m.parameters", "has 3"),
        ({"parameters": {"first": "a", "code": "b"}}, known(), "m.parameters", "give a list"),
        ({}, known(NAMED, parameter_format="NAMED"), "m.parameters", "first, code"),
        (
            {"parameters": {"first": "a"}},
            known(NAMED, parameter_format="NAMED"),
            "m.parameters",
            "{{code}}",
        ),
        (
            {"parameters": {"first": "a", "code": "b", "odd": "c"}},
            known(NAMED, parameter_format="NAMED"),
            "m.parameters.odd",
            "no variable",
        ),
        ({}, known(HEADER, BODY), "m.header", "needs a text for {{1}}"),
        ({"header": {"text": "x"}}, known(), "m.header", "no header"),
        (
            {"header": {"text": "x"}},
            known({"type": "HEADER", "format": "TEXT", "text": "Hello"}, BODY),
            "m.header",
            "without a variable",
        ),
        ({"header": {"text": "x", "name": "who"}}, known(HEADER, BODY), "m.header.name", "numbers"),
        (
            {"header": {"text": "x"}, "parameters": {"first": "a", "code": "b"}},
            known(
                {"type": "HEADER", "format": "TEXT", "text": "For {{who}}"}, NAMED, parameter_format="NAMED"
            ),
            "m.header.name",
            "'who'",
        ),
        ({}, known({"type": "HEADER", "format": "IMAGE"}, BODY), "m.header", "`image`"),
        (
            {"header": {"video": "https://x.example/v"}},
            known({"type": "HEADER", "format": "IMAGE"}, BODY),
            "m.header",
            "`image`",
        ),
        ({}, known({"type": "HEADER", "format": "LOCATION"}, BODY), "m.header", "cannot fill"),
        ({"parameters": ["a", "x" * 1024]}, known(), "m.parameters", "at least"),
        ({"header": {"text": "x" * 61}}, known(HEADER, BODY), "m.header.text", "at least 65"),
        (
            {"buttons": [{"type": "copy_code", "index": 0, "code": "x" * 16}]},
            with_buttons(CODE),
            "m.buttons[0].code",
            "at least 16",
        ),
        ({"link": "https://shop.example"}, known(), "m.link", "no button"),
        ({}, with_buttons(URL), "m.link", "is missing"),
        ({"link": "https://shop.example"}, with_buttons(QUICK, URL), "m.link_index", "is 0"),
        ({"link": "https://shop.example"}, with_buttons(URL, URL), "m.link", "2 buttons"),
        ({}, with_buttons(CODE), "m.buttons", "button 0 (copy_code)"),
        ({}, with_buttons({"type": "OTP", "text": "Copy"}), "m.buttons", "OTP"),
        (
            {"buttons": [{"type": "quick_reply", "index": 1, "payload": "p"}]},
            with_buttons(QUICK),
            "m.buttons[0]",
            "no button at index 1",
        ),
        (
            {"buttons": [{"type": "copy_code", "index": 0, "code": "c"}]},
            with_buttons(QUICK),
            "m.buttons[0]",
            "quick_reply",
        ),
        (
            {"buttons": 2 * [{"type": "quick_reply", "index": 0, "payload": "p"}]},
            with_buttons(QUICK),
            "m.buttons[1].index",
            "twice",
        ),
    ],
)
def test_what_whatsapp_would_refuse_is_a_problem_with_its_path(
    content: dict[str, Any], template: Known, field: str, words: str
) -> None:
    problems, _ = found(message(**content), template)
    assert list(problems) == [field]
    assert words in problems[field]
    assert problems[field].endswith("(in en)")


@pytest.mark.parametrize(
    ("templates", "field", "words"),
    [
        ((), "m.template", "has no template 't'; synchronise"),
        ((known(gone=True),), "m.template", "any more"),
        ((known(language="nl"),), "m.language", "it is in nl"),
        ((known(status="PENDING"),), "m.language", "is pending in en"),
        ((known(status="PAUSED"),), "m.language", "is paused in en"),
    ],
    ids=["absent", "gone", "language", "pending", "paused"],
)
def test_what_may_still_come_is_a_doubt_while_designing_and_a_problem_at_the_start(
    templates: tuple[Known, ...], field: str, words: str
) -> None:
    problems, doubts = found(message(), *templates)
    assert problems == {}
    assert list(doubts) == [field]
    assert words in doubts[field]
    assert found(message(), *templates, starting=True)[0] == doubts


def test_each_language_is_looked_at() -> None:
    short = known({"type": "BODY", "text": "Hoi {{1}}"}, language="nl")
    problems, doubts = found(message(languages=["nl", "de"]), known(), short)
    assert problems == {"m.parameters": "has 2, but the template's body has 1 variables (in nl)"}
    assert "it is in en, nl" in doubts["m.languages[1]"]


@pytest.mark.parametrize(
    ("template", "campaign", "is_problem", "is_doubt"),
    [
        ("marketing", Category.MARKETING, False, False),
        ("marketing", Category.UTILITY, True, False),
        ("utility", Category.MARKETING, False, True),
        ("authentication", Category.MARKETING, True, False),
        ("utility", Category.AUTHENTICATION, True, False),
    ],
)
def test_the_category_of_the_template_is_the_campaign_s(
    template: str, campaign: Category, is_problem: bool, is_doubt: bool
) -> None:
    problems, doubts = found(message(), known(category=template), category=campaign)
    assert (bool(problems), bool(doubts)) == (is_problem, is_doubt)
    assert set(problems) | set(doubts) <= {"m.template"}


def test_poor_quality_and_a_link_that_does_not_lead_here_are_doubts() -> None:
    problems, doubts = found(message(), known(quality="RED"), starting=True)
    assert problems == {}
    assert "RED" in doubts["m.language"]
    problems, doubts = found(message(), known(status="FLAGGED"), starting=True)
    assert (problems, "is flagged" in doubts["m.language"]) == ({}, True)
    elsewhere = with_buttons({**URL, "url": "https://shop.example/{{1}}"})
    problems, doubts = found(message(link="https://shop.example"), elsewhere, starting=True)
    assert problems == {}
    assert "clicks would not be counted" in doubts["m.link"]


@pytest.mark.parametrize("components", [(), ("odd",), ({"type": "HEADER"},)], ids=["none", "text", "no-body"])
def test_a_template_in_an_odd_form_is_a_doubt(components: tuple[Any, ...]) -> None:
    template = Known("t", "en", "marketing", "APPROVED", None, "POSITIONAL", components)
    problems, doubts = found(message(), template)
    assert problems == {}
    assert "not known" in doubts["m.language"]
