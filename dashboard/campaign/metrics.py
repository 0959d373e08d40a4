"""What is measured, as the choices of a form. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from dashboard import formats
from dashboard.campaign.documents import Document, at, items_at

BUILT_IN: Final = ("delivered", "read", "clicked", "replied", "opted_out", "blocked", "failed", "cost")
"""Metrics that need no definition."""
OWN: Final = "own"
"""Instead of a key: defined where it is used."""
KINDS: Final = ("proportion", "count", "sum", "mean", "ratio", "quantile", "retention")
ROLES: Final = ("primary", "secondary", "guardrail")
STAGES: Final = ("accepted", "delivered", "read", "clicked", "blocked", "failed")
WITH_VALUE: Final = frozenset({"sum", "mean", "quantile"})
GUARDS: Final = {"opted_out": 0.002, "blocked": 0.001, "failed": 0.02}
"""Guardrails to begin with, and the harm that they tolerate."""
_OF_A_KIND: Final = ("value", "price", "numerator", "denominator", "level", "after", "cap")


def source_of(metric: Any) -> str:
    """`own` where it is defined in place, else the key under which it is known."""
    return OWN if at(metric, ("kind",)) is not None else str(at(metric, ("key",), OWN))


def is_share(metric: Any, library: Mapping[str, Document]) -> bool:
    """Whether a metric is a share of users. library: the definitions of metrics that are known by their key."""
    kind, key = at(metric, ("kind",)), str(at(metric, ("key",), ""))
    if kind is None:
        kind = at(library.get(key), ("kind",))
    if kind is None and key in BUILT_IN:
        return key != "cost"
    return formats.is_share(str(kind))


def from_source(metric: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The metric taken from elsewhere, or defined in place from now on. Its role stays, and what goes with it."""
    role = {name: metric[name] for name in ("role", "margin", "window") if name in metric}
    if source == OWN:
        return {"kind": "proportion", **role}
    if role.get("role") == "guardrail" and "margin" not in role and source in GUARDS:
        role["margin"] = GUARDS[source]
    return {"key": source, **role}


def of_kind(metric: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The metric with another kind, without what only the old one has."""
    event = metric.get("event") or at(metric, ("numerator", "event"))
    rest = {
        name: value
        for name, value in metric.items()
        if name not in (*_OF_A_KIND, "event", "message", "where", "covariate")
    }
    if kind in {"quantile", "ratio", "retention"} or metric.get("covariate") is None:
        covariate = {}
    else:
        covariate = {"covariate": metric["covariate"]}
    extra: dict[str, Any] = {} if event is None else {"event": event}
    if kind == "ratio":
        extra = {"numerator": dict(extra), "denominator": dict(extra)}
    elif kind == "quantile":
        extra |= {"level": 0.9}
    elif kind == "retention":
        extra |= {"after": "7d", "window": "14d"}
    return {**rest, "kind": kind, **extra, **covariate}


def with_role(metric: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The metric in another role; a margin belongs to a guardrail alone."""
    found: dict[str, Any] = {**metric, "role": role}
    if role != "guardrail":
        found.pop("margin", None)
    elif found.get("margin") is None:
        found["margin"] = GUARDS.get(str(metric.get("key")), 0.01)
    return found


def first_primary(document: Document) -> str | None:
    """The key of the metric that decides first."""
    for metric in items_at(document, ("metrics",)):
        if at(metric, ("role",)) == "primary":
            key = at(metric, ("key",))
            return key if isinstance(key, str) else None
    return None


def decides_by_share(document: Document, library: Mapping[str, Document]) -> bool:
    """Whether the metric that decides first is a share of users. library: as in `is_share`.

    >>> decides_by_share({"metrics": [{"key": "spent", "role": "primary", "kind": "sum"}]}, {})
    False
    """
    primary = (each for each in items_at(document, ("metrics",)) if at(each, ("role",)) == "primary")
    return is_share(next(primary, None), library)


def price_of_a_message(document: Document) -> float | None:
    """What one delivered message costs, where the campaign measures `cost`."""
    for metric in items_at(document, ("metrics",)):
        price = at(metric, ("price",))
        if at(metric, ("key",)) == "cost" and isinstance(price, int | float):
            return float(price)
    return None


def begun(name: str = "") -> dict[str, Any]:
    """A campaign to begin with: one silent arm to compare with, one message, one thing to decide by, one guardrail."""
    document: dict[str, Any] = {
        "category": "marketing",
        "trigger": {"type": "once"},
        "variants": [
            {"key": "silence", "control": True, "weight": 1},
            {"key": "message-1", "weight": 1, "message": {}},
        ],
        "metrics": [
            {"role": "primary", "kind": "proportion", "window": "7d"},
            {"key": "opted_out", "role": "guardrail", "margin": GUARDS["opted_out"]},
        ],
        "plan": {"method": "spending", "alpha": 0.05, "power": 0.8, "mde": 0.1, "ends_after": "14d"},
        "allocation": {"policy": "fixed"},
    }
    return {"name": name, **document} if name else document
