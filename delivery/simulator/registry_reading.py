"""A registry from JSON, as the Graph API lists templates, or from what is known of people's behaviour."""

from collections.abc import Mapping
from typing import Any, Final

from delivery.simulator.behaviour import Behaviour, Treatment
from delivery.simulator.components import Shape, read_shape
from delivery.simulator.profile import Pacing
from delivery.simulator.registry import CATEGORIES, FIELDS, QUALITIES, STATUSES, Registry, Template
from experiments.errors import Invalid

_KEYS: Final = {*FIELDS, "quality", "pacing"}


def built(name: str, treatment: Treatment, *, link: str, pacing: Pacing | None) -> Template:
    """A template for one of which only the behaviour is known: as many variables as `parameters` says, a link if it can
    be clicked, a quick reply if it can be pressed. Its body is checked, if `parameters` is given, and nothing else.
    """
    variables = " ".join(f"{{{{{number}}}}}" for number in range(1, (treatment.parameters or 0) + 1))
    components: list[dict[str, Any]] = [{"type": "BODY", "text": f"{name} {variables}".strip()}]
    buttons: list[dict[str, Any]] = []
    if treatment.clicked:
        buttons.append(
            {"type": "URL", "text": "Open", "url": f"{link}/r/{{{{1}}}}", "example": [f"{link}/r/x"]}
        )
    if treatment.pressed:
        buttons.append({"type": "QUICK_REPLY", "text": treatment.button})
    if buttons:
        components.append({"type": "BUTTONS", "buttons": buttons})
    known = read_shape(components, name)
    body = None if treatment.parameters is None else known.body
    category = treatment.category.upper()
    return Template(
        name,
        treatment.language or "en_US",
        components,
        Shape(body=body, buttons=known.buttons, loose=True),
        category,
        any_language=treatment.language is None,
        pacing=pacing if category == "MARKETING" else None,
    )


def read_registry(
    document: Any, behaviours: Mapping[str, Behaviour], *, link: str, pacing: Pacing | None
) -> Registry:
    """The registry of a world: its `templates` as Graph lists them (None: none), and one built for each other behaviour.

    An item may also have `pacing` (the fields of Pacing, or null for none), and `quality` in place of `quality_score`.
    Raises Invalid with the path of what is wrong.
    """
    if document is not None and not isinstance(document, list):
        raise Invalid("must be a list", field="templates")
    templates = [_read(item, f"templates[{n}]", pacing) for n, item in enumerate(document or ())]
    seen: set[tuple[str, str]] = set()
    for position, template in enumerate(templates):
        if (template.name, template.language) in seen:
            raise Invalid("is there twice in this language", field=f"templates[{position}].name")
        seen.add((template.name, template.language))
    listed = {template.name for template in templates}
    treatments = behaviours[""].templates.items()
    for template in templates:
        treatment = behaviours[""].templates.get(template.name)
        if treatment is not None and treatment.pressed and not template.shape.quick_replies:
            raise Invalid(
                "must be 0: the template has no quick reply",
                field=f"behaviour.templates.{template.name}.pressed",
            )
        if not any(button.sub_type == "url" for button in template.shape.buttons):
            _check_that_nobody_clicks(template.name, behaviours)
    templates += [
        built(name, one, link=link, pacing=pacing) for name, one in treatments if name not in listed
    ]
    return Registry(templates)


def _check_that_nobody_clicks(name: str, behaviours: Mapping[str, Behaviour]) -> None:
    """A message makes people visit by its link only, so one without would have no effect, whatever its rates say."""
    for group, behaviour in behaviours.items():
        treatment = behaviour.templates.get(name)
        if treatment is None or treatment.visit is None or treatment.visit <= behaviour.silence.visit:
            continue
        place = f"behaviour.groups.{group}" if group else "behaviour"
        raise Invalid(
            f"must not be above that of silence ({behaviour.silence.visit:g}): the template has no button whose URL has a "
            "variable, so there is no link to visit by",
            field=f"{place}.templates.{name}.visit",
        )


def _read(item: Any, where: str, pacing: Pacing | None) -> Template:
    if not isinstance(item, dict):
        raise Invalid("must be an object", field=where)
    for key in item:
        if key not in _KEYS:
            raise Invalid("is not known", field=f"{where}.{key}")
    name, language = item.get("name"), item.get("language", "en_US")
    for field_name, text in (("name", name), ("language", language)):
        if not isinstance(text, str) or not text:
            raise Invalid("must be a text", field=f"{where}.{field_name}")
    score = item.get("quality_score", item.get("quality", "UNKNOWN"))
    score = score.get("score") if isinstance(score, dict) else score
    form = item.get("parameter_format")
    named = (
        None
        if form is None
        else one_of(form, ("NAMED", "POSITIONAL"), f"{where}.parameter_format") == "NAMED"
    )
    components = item.get("components")
    category = one_of(item.get("category", "MARKETING"), CATEGORIES, f"{where}.category")
    default = pacing if category == "MARKETING" else None
    return Template(
        str(name),
        str(language),
        components if isinstance(components, list) else [],
        read_shape(components, f"{where}.components", named=named),
        category,
        one_of(item.get("status", "APPROVED"), STATUSES, f"{where}.status"),
        one_of(score, QUALITIES, f"{where}.quality"),
        pacing=_read_pacing(item["pacing"], f"{where}.pacing") if "pacing" in item else default,
    )


def _read_pacing(value: Any, where: str) -> Pacing | None:
    if value is None:
        return None
    try:
        return Pacing(**value)
    except TypeError as error:
        raise Invalid("must have the fields of a pacing, as numbers", field=where) from error


def one_of(value: Any, allowed: tuple[str, ...], where: str) -> str:
    """`value` in capitals, if it is one of `allowed`."""
    if not isinstance(value, str) or value.upper() not in allowed:
        raise Invalid(f"must be one of {', '.join(allowed)}", field=where)
    return value.upper()
