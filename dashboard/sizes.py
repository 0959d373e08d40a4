"""How many users a comparison needs: the form of the page Planner as the API's question, and its answer as numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dashboard import formats, values
from dashboard.formats import brief, chance, signed
from dashboard.reading import Unreadable
from dashboard.texts import say

ROUND: Final = 12
"""Decimals of a share that was written as percent: 5.5 is 0.055 and not 0.055000000000000004."""


def share(percent: float) -> float:
    """A share from percent.

    >>> share(5.5)
    0.055
    """
    return round(percent / 100, ROUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The form as it is filled in: shares, lifts and margins as percent, None where nothing was said. sd None: the base is a rate."""

    baseline: float
    lift: float | None
    sd: float | None = None
    users: int | None = None
    arms: int = 2
    method: str = "spending"
    looks: int = 14
    alpha: float = 5.0
    power: float = 80.0
    per_day: float | None = None
    window: int = 7
    reach: float = 100.0
    rho: float = 0.0
    price: float | None = None
    control_sends: bool = False
    guard_base: float | None = None
    guard_margin: float | None = None

    @property
    def is_rate(self) -> bool:
        return self.sd is None


def question(asked: Asked) -> dict[str, Any]:
    """The body of `POST /v1/plan/size`."""
    return {
        **_common(asked),
        "baseline": share(asked.baseline) if asked.is_rate else asked.baseline,
        "sd": asked.sd,
        "mde": None if asked.lift is None else share(asked.lift),
        "users": asked.users,
        "rho": asked.rho,
        "per_day": asked.per_day,
        "message_price": asked.price,
        "control_sends": asked.control_sends,
    }


def guard_question(asked: Asked, users: int | None) -> dict[str, Any] | None:
    """The same about the guardrail, for so many users; None where the form has none."""
    if asked.guard_base is None or asked.guard_margin is None:
        return None
    return {
        **_common(asked),
        "baseline": share(asked.guard_base),
        "margin": share(asked.guard_margin),
        "users": users,
    }


def _common(asked: Asked) -> dict[str, Any]:
    return {
        "weights": [1.0] * asked.arms,
        "method": asked.method,
        "looks": asked.looks,
        "alpha": share(asked.alpha),
        "power": share(asked.power),
        "reach": share(asked.reach),
        "window": f"{asked.window}d",
    }


@dataclass(frozen=True, slots=True)
class Size:
    """The answer of `POST /v1/plan/size`; None where it cannot be told. `document` is the answer itself, for charts."""

    users_needed: int | None
    each: int | None
    days_needed: int | None
    power: float | None
    minimum_effect: float | None
    comparisons: int
    level: float | None
    messages: int | None
    cost: float | None
    reasons: tuple[str, ...]
    document: Mapping[str, Any]


def read_size(document: Any) -> Size:
    """Raises Unreadable for what is no answer."""
    found = values.mapping(document)
    if "users_needed" not in found or values.whole(found.get("comparisons")) is None:
        raise Unreadable("not a size")
    arms = [number for each in values.items(found.get("arms")) if (number := values.whole(each)) is not None]
    return Size(
        users_needed=values.whole(found.get("users_needed")),
        each=max(arms, default=None),
        days_needed=values.whole(found.get("days_needed")),
        power=values.number(found.get("power")),
        minimum_effect=values.number(found.get("minimum_effect")),
        comparisons=values.whole(found.get("comparisons")) or 1,
        level=values.number(found.get("level")),
        messages=values.whole(found.get("messages")),
        cost=values.number(found.get("cost")),
        reasons=values.texts(found.get("reasons")),
        document=found,
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the answer: what it is, the figure, and what it means in a sentence."""

    label: str
    value: str
    words: str


def figures(size: Size, asked: Asked, guard: Size | None = None) -> list[Figure]:
    """The answer as figures that explain themselves, the most important first."""
    found = []
    if asked.lift is not None:
        lift, power = signed(share(asked.lift)), chance(share(asked.power))
        words = "needed" if size.users_needed is not None else "needed_unknown"
        each = formats.count(size.each)
        found.append(
            _figure("needed", formats.count(size.users_needed), words, each=each, lift=lift, power=power)
        )
    if size.days_needed is not None and asked.per_day is not None:
        found.append(
            _figure(
                "days", formats.count(size.days_needed), per_day=brief(asked.per_day), window=asked.window
            )
        )
    if asked.users is not None:
        users = formats.count(asked.users)
        if asked.lift is not None:
            lift = signed(share(asked.lift))
            found.append(_figure("power", _known(size.power, chance), users=users, lift=lift))
        finds = _known(size.minimum_effect, signed)
        found.append(_figure("finds", finds, users=users, power=chance(share(asked.power))))
    found += _looking(size, asked)
    if size.comparisons > 1 and size.level is not None:
        level = chance(size.level)
        found.append(_figure("level", level, count=size.comparisons, alpha=f"{brief(asked.alpha)}%"))
    if size.cost is not None:
        messages = formats.count(size.messages)
        words = "cost_needed" if size.users_needed is not None else "cost_there"
        found.append(_figure("cost", f"{size.cost:,.2f}", words, messages=messages))
    return found + _guard(guard, asked, size)


def _looking(size: Size, asked: Asked) -> list[Figure]:
    """What the looks of this plan cost; nothing where it looks once, or no formula says."""
    for each in values.mappings(size.document.get("looking")):
        if each.get("method") == asked.method and each.get("looks") == asked.looks:
            times = values.number(each.get("times"))
            if times is None or asked.method == "fixed":
                return []
            return [_figure("looking", f"× {times:.3f}", count=asked.looks)]
    return []


def _guard(guard: Size | None, asked: Asked, size: Size) -> list[Figure]:
    if guard is None or asked.guard_margin is None:
        return []
    margin = formats.tolerance(share(asked.guard_margin), "proportion")
    found = [
        _figure("guard", formats.count(guard.users_needed), margin=margin, power=chance(share(asked.power)))
    ]
    users = size.users_needed if asked.users is None else asked.users
    if guard.power is not None and users is not None:
        found.append(_figure("guard_power", chance(guard.power), users=formats.count(users), margin=margin))
    return found


def _figure(name: str, value: str, words: str | None = None, /, **places: Any) -> Figure:
    return Figure(say(f"planner.figure.{name}"), value, say(f"planner.means.{words or name}", **places))


def _known(value: float | None, written: Any) -> str:
    return formats.UNKNOWN if value is None else str(written(value))
