"""How people behave: the rates that a world is made of, and what must be true of each person for them to come out.

Rates of visiting are given **by intention to treat**: the share of all people that a template is assigned to who visit,
whether or not it reached them. From p0 (a visit without a message), p_T (with template T) and d (the share whom a
message reaches) follows the rate among those whom it reaches, p_T' = p0 + (p_T - p0) / d, since
(1 - d) p0 + d p_T' = p_T.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from experiments.errors import Invalid, Problem

_SHARES = ("delivered", "read", "clicked", "opted_out", "visit", "buy", "replied", "pressed")
_TEXTS = ("language", "category", "reply", "button")


@dataclass(frozen=True, slots=True)
class Silence:
    """What people do without a message: `visit` is a rate, `buy` the share of visitors who buy, `revenue` the mean of a
    purchase, `spread` the standard deviation of its logarithm.
    """

    visit: float = 0.0
    buy: float = 0.0
    revenue: float = 0.0
    spread: float = 0.5


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a template does.

    `delivered` is the share of sent messages that arrive, `read` the share of those, `clicked` the share of the read,
    `opted_out` the share of the read that is answered with a stop. `visit` is the rate by intention to treat;
    `buy`, `revenue` and `spread` speak of visits caused by the message. None: as in silence.
    `replied` is the share of the read that is answered with the text `reply`, `pressed` the share of the read whose first
    quick reply is pressed (`button` is its text, if the template's components are not given).
    `parameters` and `language`, when given, are checked as WhatsApp does.
    """

    delivered: float = 0.95
    read: float = 0.7
    clicked: float = 0.4
    opted_out: float = 0.0
    visit: float | None = None
    buy: float | None = None
    revenue: float | None = None
    spread: float | None = None
    parameters: int | None = None
    language: str | None = None
    category: str = "marketing"
    replied: float = 0.0
    pressed: float = 0.0
    reply: str = "Thank you"
    button: str = "Tell me more"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A group of people: what they do by themselves, and per template."""

    silence: Silence = Silence()
    templates: Mapping[str, Treatment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """The rates among people whom a template reaches, with all None filled in.

    `visit` is p_T'; `own` is p0. Whoever visits because of the message (share `caused` of the reached) has read it and
    clicked; `read` and `clicked` are the rates that the others must have for the configured totals to hold.
    """

    delivered: float
    own: float
    visit: float
    caused: float
    read: float
    clicked: float
    opted_out: float
    buy: float
    revenue: float
    spread: float
    replied: float
    pressed: float


def respond(silence: Silence, treatment: Treatment, *, reach: float, where: str) -> Response:
    """Solve for the rates among the reached; raises Invalid when no people can behave as configured.

    `reach` is the share of people whom the faults of the network leave reachable; `where` names the treatment in errors.
    """
    own = silence.visit
    wanted = own if treatment.visit is None else treatment.visit
    share = treatment.delivered * reach
    if wanted != own and share == 0:
        raise Invalid("cannot differ from silence: nobody is reached", field=f"{where}.visit")
    visit = own if wanted == own else own + (wanted - own) / share
    if not -1e-12 <= visit <= 1 + 1e-12:
        raise Invalid(
            f"{wanted} over everybody needs {visit:.4f} among the {share:.4f} who are reached; it must be in [0, 1]",
            field=f"{where}.visit",
        )
    visit = min(1.0, max(0.0, visit))
    caused = max(0.0, visit - own)
    if caused > treatment.read * treatment.clicked + 1e-12:
        raise Invalid(
            f"{caused:.4f} of the reached visit because of the message, but only "
            f"{treatment.read * treatment.clicked:.4f} read and click it",
            field=f"{where}.clicked",
        )
    read_too = _share(treatment.read - caused, 1 - caused)
    click_too = _share(treatment.read * treatment.clicked - caused, treatment.read - caused)
    return Response(
        delivered=treatment.delivered,
        own=own,
        visit=visit,
        caused=caused,
        read=read_too,
        clicked=click_too,
        opted_out=treatment.opted_out,
        buy=silence.buy if treatment.buy is None else treatment.buy,
        revenue=silence.revenue if treatment.revenue is None else treatment.revenue,
        spread=silence.spread if treatment.spread is None else treatment.spread,
        replied=treatment.replied,
        pressed=treatment.pressed,
    )


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0


def read_behaviours(document: Any) -> dict[str, Behaviour]:
    """Behaviours by group from JSON; the group of everybody who names none is `""`.

    `{"silence": {..}, "templates": {"spring_coupon": {..}}, "groups": {"loyal": {"silence": .., "templates": ..}}}`,
    the inner objects with the fields of Silence and Treatment. A group says only what differs.
    Raises Invalid with the path of every wrong field.
    """
    problems: list[Problem] = []
    root = _object(document, "behaviour", ("templates", "groups", "silence"), problems)
    silence = _read(Silence(), root.get("silence", {}), "behaviour.silence", problems)
    templates = {
        name: _read(Treatment(), value, f"behaviour.templates.{name}", problems)
        for name, value in _object(root.get("templates", {}), "behaviour.templates", None, problems).items()
    }
    groups = {"": Behaviour(silence, templates)}
    for group, value in _object(root.get("groups", {}), "behaviour.groups", None, problems).items():
        where = f"behaviour.groups.{group}"
        part = _object(value, where, ("templates", "silence"), problems)
        changed = dict(templates)
        for name, change in _object(part.get("templates", {}), f"{where}.templates", None, problems).items():
            if name in templates:
                changed[name] = _read(templates[name], change, f"{where}.templates.{name}", problems)
            else:
                known = ", ".join(templates) or "none is there"
                problems.append(
                    Problem(f"{where}.templates.{name}", f"is not in behaviour.templates ({known})")
                )
        groups[group] = Behaviour(
            _read(silence, part.get("silence", {}), f"{where}.silence", problems), changed
        )
    if problems:
        raise Invalid.of(problems)
    return groups


def _object(
    value: Any, where: str, allowed: Sequence[str] | None, problems: list[Problem]
) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        problems.append(Problem(where, "must be an object"))
        return {}
    if allowed is not None:
        problems.extend(strangers(value, allowed, where))
    return value


def strangers(value: Mapping[str, Any], allowed: Sequence[str], where: str = "") -> list[Problem]:
    """One problem for each key of `value` that is not allowed; it says which are."""
    words = f"is not known; write {', '.join(allowed)}"
    return [Problem(f"{where}.{key}" if where else key, words) for key in sorted(set(value) - set(allowed))]


_Kind = TypeVar("_Kind", Silence, Treatment)


def _read(base: _Kind, value: Any, where: str, problems: list[Problem]) -> _Kind:
    """`base` with the fields of `value`; problems are collected, and then `base` is returned as it is."""
    names = [item.name for item in fields(base)]
    given = _object(value, where, names, problems)
    wrong = [
        Problem(f"{where}.{name}", message)
        for name, item in given.items()
        if name in names and (message := _complaint(name, item)) is not None
    ]
    problems.extend(wrong)
    if wrong or set(given) - set(names):
        return base
    return replace(base, **given)


def _complaint(name: str, value: Any) -> str | None:
    if name in _TEXTS:
        return None if isinstance(value, str) and value else "must be a text"
    if value is None and name in ("visit", "buy", "revenue", "spread", "parameters"):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "must be a number"
    if name == "parameters":
        return None if isinstance(value, int) and value >= 0 else "must be a whole number of at least 0"
    if name in _SHARES:
        return None if 0 <= value <= 1 else "must be between 0 and 1"
    return None if value >= 0 else "must not be negative"
