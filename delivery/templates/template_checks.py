"""Whether a campaign's messages fit the templates that they name. Pure, over rows of the registry.

Two kinds of findings. *Problems* would be refused by WhatsApp for every single message, or send under the wrong consent.
*Doubts* may pass: a template that is still in review while the campaign is designed, one of poor quality. When a campaign
starts, a template that is not approved is a problem too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from delivery.templates.template_shapes import MEDIA, DeclaredButton, Shape, read_shape
from delivery.whatsapp.payloads import MAX_BODY, MAX_CODE, MAX_HEADER
from experiments.errors import Problem
from experiments.treatments import MessageContent
from experiments.vocabulary import Category

SENDABLE: Final = frozenset({"APPROVED", "FLAGGED"})
"""FLAGGED: it can still be sent, but WhatsApp will disable it unless its quality gets better."""
_FILLED: Final = {"QUICK_REPLY": "quick_reply", "COPY_CODE": "copy_code"}
_NEEDS_MORE: Final = frozenset({"OTP", "MPM", "SPM"})
"""Buttons that no message of a campaign can fill: one-time passwords, products of a catalogue."""


@dataclass(frozen=True, slots=True)
class Known:
    """A template in one language, as the registry has it."""

    name: str
    language: str
    category: str
    status: str
    quality: str | None
    parameter_format: str
    components: Sequence[Any]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """`problems` stop it; `doubts` are said."""

    problems: tuple[Problem, ...] = ()
    doubts: tuple[Problem, ...] = ()


def check_message(
    content: MessageContent,
    templates: Sequence[Known],
    *,
    category: Category,
    field: str,
    starting: bool,
    clicks_at: str,
) -> Findings:
    """Compare one message with the templates of its name. `field` is its path, such as `variants[1].message`.

    `clicks_at` is where click tokens are understood, such as `https://x.example/r/`.
    """
    if content.template is None:
        return Findings()
    problems: list[Problem] = []
    doubts: list[Problem] = []
    unsure = problems if starting else doubts
    known = {each.language: each for each in templates if each.name == content.template and not each.gone}
    if not known:
        unsure.append(
            Problem(f"{field}.template", f"WhatsApp has no template {content.template!r}{_gone(templates)}")
        )
    wanted = [("language", content.language or "")]
    wanted += [(f"languages[{index}]", language) for index, language in enumerate(content.languages)]
    for path, language in wanted if known else ():
        template = known.get(language)
        if template is None:
            there = ", ".join(sorted(known))
            words = f"the template {content.template!r} is not there in {language}; it is in {there}"
            unsure.append(Problem(f"{field}.{path}", words))
            continue
        unsure += _standing(template, f"{field}.{path}")
        doubts += _quality(template, f"{field}.{path}")
        wrong, doubtful = _category(template, category, f"{field}.template")
        problems += wrong
        doubts += doubtful
        shape = read_shape(template.components, parameter_format=template.parameter_format)
        if shape is None:
            doubts.append(
                Problem(
                    f"{field}.{path}", "what the template declares is not known; synchronise the registry"
                )
            )
            continue
        problems += [_in(language, problem) for problem in _filling(content, shape, field)]
        doubts += _clicks(content, shape, field, clicks_at)
    return Findings(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(doubts)))


def _gone(templates: Sequence[Known]) -> str:
    return " any more" if templates else "; synchronise the registry if it is new"


def _standing(template: Known, field: str) -> list[Problem]:
    if template.status in SENDABLE:
        return []
    return [
        Problem(
            field,
            f"the template {template.name!r} is {template.status.lower()} in {template.language}, not approved",
        )
    ]


def _quality(template: Known, field: str) -> list[Problem]:
    if template.quality != "RED" and template.status != "FLAGGED":
        return []
    standing = "is flagged" if template.status == "FLAGGED" else "has quality RED"
    words = f"the template {template.name!r} {standing} in {template.language}: WhatsApp may stop it soon"
    return [Problem(field, words)]


def _category(template: Known, category: Category, field: str) -> tuple[list[Problem], list[Problem]]:
    """WhatsApp bills and caps by the template's category; consent is asked by the campaign's."""
    if template.category == category:
        return [], []
    words = f"the template {template.name!r} is {template.category}, the campaign {category}"
    if not misplaced(template.category, category):
        return [], [Problem(field, f"{words}: more consent and stricter caps than it needs")]
    return [Problem(field, f"{words}: people would get what they did not consent to")], []


def misplaced(template: str, campaign: Category) -> bool:
    """Whether a template of one category would reach people in a campaign of another without their consent to it."""
    return template != campaign and (template, campaign) != (Category.UTILITY, Category.MARKETING)


def _in(language: str, problem: Problem) -> Problem:
    return Problem(problem.field, f"{problem.message} (in {language})")


def _filling(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    """Every variable has a parameter, and every parameter a variable."""
    yield from _lengths(content, shape, field)
    yield from _body(content, shape, f"{field}.parameters")
    yield from _header(content, shape, f"{field}.header")
    yield from _link(content, shape, field)
    yield from _buttons(content, shape, f"{field}.buttons")


def _lengths(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    """What is too long for every user, whatever their parameters say."""
    given = content.parameters.values() if isinstance(content.parameters, Mapping) else content.parameters
    body = len(shape.body.filled(dict.fromkeys(shape.body.variables, ""))) + sum(map(_fixed, given))
    text = (content.header.text if content.header is not None else None) or ""
    header = len(shape.header.filled(dict.fromkeys(shape.header.variables, ""))) + _fixed(text)
    parts = [
        (f"{field}.parameters", "body", body, MAX_BODY),
        (f"{field}.header.text", "header", header, MAX_HEADER),
    ]
    parts += [
        (f"{field}.buttons[{place}].code", "code", _fixed(button.code or ""), MAX_CODE)
        for place, button in enumerate(content.buttons)
    ]
    for path, what, length, most in parts:
        if length > most:
            yield Problem(path, f"the {what} has at least {length} characters; WhatsApp takes {most}")


def _fixed(source: str) -> int:
    """How long a text is at least: all of it when nothing in it differs from user to user."""
    return 0 if "{{" in source or "{%" in source or "{#" in source else len(source)


def _body(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    variables, given = shape.body.variables, content.parameters
    if shape.named:
        if not isinstance(given, Mapping) and (given or variables):
            yield Problem(
                field, f"the template names its variables ({', '.join(variables)}); give each by its name"
            )
        elif isinstance(given, Mapping):
            missing, more = set(variables) - set(given), set(given) - set(variables)
            if missing:
                yield Problem(field, f"has nothing for {_names(missing)}, which the template's body needs")
            for name in sorted(more):
                yield Problem(f"{field}.{name}", "is no variable of the template's body")
    elif isinstance(given, Mapping) and given:
        yield Problem(field, "the template numbers its variables; give a list")
    elif len(given) != len(variables):
        yield Problem(field, f"has {len(given)}, but the template's body has {len(variables)} variables")


def _names(names: set[str]) -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in sorted(names))


def _header(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    header, kind = content.header, shape.header_kind
    if kind == "TEXT" or kind is None:
        variables = shape.header.variables
        text = None if header is None else header.text
        if header is not None and (text is None or not variables):
            has = (
                "no header"
                if kind is None
                else "a header of text" + ("" if variables else " without a variable")
            )
            yield Problem(field, f"the template has {has}")
        elif variables and header is None:
            yield Problem(field, f"the template's header needs a text for {_names(set(variables))}")
        elif header is not None and shape.named and header.name != variables[0]:
            yield Problem(
                f"{field}.name", f"the variable of the template's header is called {variables[0]!r}"
            )
        elif header is not None and not shape.named and header.name is not None:
            yield Problem(f"{field}.name", "the template numbers its variables")
    elif kind not in MEDIA:
        yield Problem(
            field, f"the template has a header of the kind {kind.lower()}, which a campaign cannot fill"
        )
    elif header is None or getattr(header, kind.lower()) is None:
        yield Problem(
            field, f"the template's header needs the address of its {kind.lower()}: `{kind.lower()}`"
        )


def _link(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    places = [index for index, button in enumerate(shape.buttons) if button.takes_token]
    if len(places) > 1:
        yield Problem(
            f"{field}.link",
            f"the template has {len(places)} buttons with a variable address; one can be filled",
        )
    elif places and content.link is None:
        yield Problem(
            f"{field}.link", f"is missing: the template's button {places[0]} has a variable address"
        )
    elif content.link is not None and not places:
        yield Problem(f"{field}.link", "the template has no button with a variable address")
    elif content.link is not None and content.link_index != places[0]:
        yield Problem(
            f"{field}.link_index", f"is {content.link_index}, but that button of the template is {places[0]}"
        )


def _buttons(content: MessageContent, shape: Shape, field: str) -> Iterator[Problem]:
    for place, button in enumerate(content.buttons):
        declared = shape.buttons[button.index] if button.index < len(shape.buttons) else None
        if declared is None or _FILLED.get(declared.kind) != button.type:
            what = "no button" if declared is None else f"a button of the kind {declared.kind.lower()}"
            yield Problem(f"{field}[{place}]", f"the template has {what} at index {button.index}")
        elif any(other.index == button.index for other in content.buttons[:place]):
            yield Problem(f"{field}[{place}].index", "is given twice")
    given = {button.index for button in content.buttons}
    for index, declared in enumerate(shape.buttons):
        if declared.kind in _NEEDS_MORE:
            yield Problem(
                field,
                f"the template's button {index} is of the kind {declared.kind}, which a campaign cannot fill",
            )
        elif declared.kind == "COPY_CODE" and index not in given:
            yield Problem(field, f"has no code for the template's button {index} (copy_code)")


def _clicks(content: MessageContent, shape: Shape, field: str, clicks_at: str) -> list[Problem]:
    button = next((button for button in shape.buttons if button.takes_token), None)
    if content.link is None or button is None or leads_here(button, clicks_at):
        return []
    address = button.url.text if button.url is not None else ""
    return [
        Problem(
            f"{field}.link",
            f"the template's button leads to {address}, not to {clicks_at}{{{{1}}}}: clicks would not be counted",
        )
    ]


def leads_here(button: DeclaredButton, clicks_at: str) -> bool:
    """Whether the address of a button is our redirect, followed by the token."""
    return button.url is not None and button.url.filled({"1": "token"}) == f"{clicks_at}token"
