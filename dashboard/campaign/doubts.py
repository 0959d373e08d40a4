"""What makes a campaign doubtful though nothing is wrong with its form: messages that cannot be written, events that nobody has done, too few users. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from dashboard import values
from dashboard.campaign.documents import Document, Path, at, items_at
from dashboard.campaign.plan_answers import taking_part_of

CLEARLY: Final = 0.05
"""So much below the planned power is no rounding: at the usual 80 %, 75 % takes about nine tenths of the users needed."""
MIN_USERS: Final = 100
"""Users of each arm below which a report decides nothing, where the plan does not say it."""
MOST_NEAR: Final = 3
TRIGGER: Final = "trigger "
"""Stands for the trigger among the keys of metrics, none of which holds a space."""
RECORDED: Final = frozenset(
    {"Opted Out", "Message Received", "Marketing Stopped", "Marketing Resumed", "Experiment Viewed"}
)
"""Events that the installation records itself: when one has not happened yet, its name is right all the same."""
_ALIKE: Final = 0.6
_QUANTITIES: Final[tuple[Path, ...]] = ((), ("numerator",), ("denominator",))


@dataclass(frozen=True, slots=True)
class Weak:
    """A metric of which the users there are establish too little: an effect on a primary one, or that a guardrail keeps its `margin`, with clearly
    less than the planned power; shares from 0 to 1.

    power None: the plan cannot tell, because of `reasons`; with `least`, that even the best base would take so many users.
    """

    metric: str
    power: float | None
    planned: float
    effect: float | None
    users: int | None
    needed: int | None
    reasons: tuple[str, ...] = ()
    margin: float | None = None
    kind: str = ""
    least: int | None = None


@dataclass(frozen=True, slots=True)
class Unwritten:
    """The message of some variants that cannot be written for `failed` of the `checked` users it was tried on, most of them for `reason`."""

    variants: tuple[str, ...]
    failed: int
    checked: int
    reason: str

    @property
    def is_for_nobody(self) -> bool:
        return self.failed >= self.checked


@dataclass(frozen=True, slots=True)
class SmallArms:
    """The smallest of `arms` arms gets about `users`, and without `least` in each arm the report decides nothing."""

    users: int
    arms: int
    least: int


def unwritten(plan: Mapping[str, Any]) -> list[Unwritten]:
    """The messages that cannot be written for everybody, those for nobody first."""
    found: dict[tuple[int, int, str], list[str]] = {}
    for message in items_at(plan, ("messages",)):
        failed, checked = values.whole(at(message, ("failed",))), values.whole(at(message, ("checked",)))
        if failed and checked:
            reasons = [
                f"{at(each, ('field',), '')}: {at(each, ('reason',), '')}"
                for each in items_at(message, ("reasons",))
            ]
            reason = reasons[0] if reasons else ""
            variant = str(at(message, ("variant",), ""))
            # Crossed variants share a message, and what is wrong with it.
            found.setdefault((failed, checked, reason), []).append(variant)
    told = [
        Unwritten(tuple(variants), failed, checked, reason)
        for (failed, checked, reason), variants in found.items()
    ]
    return sorted(told, key=lambda each: not each.is_for_nobody)


def small_arms(plan: Mapping[str, Any], document: Document) -> SmallArms | None:
    """Arms too small for any decision of the report; None: they are large enough, or nobody knows."""
    there = values.whole(at(plan, ("entry", "by_the_end")))
    shares = list(values.numbers(at(plan, ("arms",))).values())
    least = values.whole(at(document, ("plan", "rules", "min_users"))) or MIN_USERS
    if there is None or not shares or there * min(shares) >= least:
        return None
    return SmallArms(int(there * min(shares)), len(shares), least)


def events_used(document: Document, library: Mapping[str, Document]) -> dict[str, list[str]]:
    """The events that the trigger or a metric waits for: name -> the keys of the metrics (`TRIGGER` for the trigger).

    library: the definitions of metrics that are known by their key.

    >>> events_used({"trigger": {"event": "A"}, "metrics": [{"key": "bought", "kind": "count", "event": "B"}]}, {})
    {'A': ['trigger '], 'B': ['bought']}
    """
    used: dict[str, list[str]] = {}
    trigger = at(document, ("trigger", "event"))
    if isinstance(trigger, str) and trigger and at(document, ("trigger", "type")) != "rule":
        used[trigger] = [TRIGGER]
    for metric in items_at(document, ("metrics",)):
        key = str(at(metric, ("key",), ""))
        definition = metric if at(metric, ("kind",)) is not None else library.get(key)
        for place in _QUANTITIES:
            event = at(definition, (*place, "event"))
            if isinstance(event, str) and event and key not in used.setdefault(event, []):
                used[event].append(key)
    return used


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that may have been meant: those that one begins or holds the other first, then those spelled alike.

    >>> nearest("order", ["Viewed", "Order Completed", "Ordre"])
    ['Order Completed', 'Ordre']
    """
    names = {each: each.casefold() for each in known if each != name}
    typed = name.casefold().strip()
    if not typed:
        return []
    holding = [each for each, folded in names.items() if folded and (typed in folded or folded in typed)]
    alike = get_close_matches(typed, list(names.values()), n=MOST_NEAR, cutoff=_ALIKE)
    spelled = [each for folded in alike for each, its in names.items() if its == folded]
    # The shortest that holds the name is the nearest to it.
    found = [*sorted(holding, key=lambda each: (abs(len(each) - len(name)), each)), *spelled]
    return list(dict.fromkeys(found))[:MOST_NEAR]


def weak_metrics(plan: Mapping[str, Any], *, told: Collection[str] = ()) -> list[Weak]:
    """The primary metrics that the users there are can hardly decide, or of which the plan cannot tell, and the guardrails whose margin they
    can hardly clear, which shipping asks for. Where nobody knows what is usual for a guardrail, it is left out.

    told: metrics of which it is said already why the plan cannot tell.
    """
    planned = values.number(at(plan, ("power",)))
    if planned is None:
        return []
    found = []
    for metric in items_at(plan, ("metrics",)):
        key, power = str(at(metric, ("metric",), "")), values.number(at(metric, ("power",)))
        role, margin = at(metric, ("role",)), values.number(at(metric, ("margin",)))
        if role != "primary" and (role != "guardrail" or margin is None):
            continue
        unknown = role == "primary" and at(metric, ("base",)) is None and key not in told
        least = values.whole(at(metric, ("least_users",)))
        users = taking_part_of(plan)
        if unknown or (power is not None and power < planned - CLEARLY):
            found.append(
                Weak(
                    metric=key,
                    power=power,
                    planned=planned,
                    effect=values.number(at(metric, ("effect",))),
                    users=users,
                    needed=values.whole(at(metric, ("users_needed",))),
                    reasons=values.texts(at(metric, ("reasons",))),
                    margin=margin if role == "guardrail" else None,
                    kind=str(at(metric, ("kind",), "")),
                    least=least if least is not None and users is not None and users < least else None,
                )
            )
    return found
