"""What `touchstone analyze` may say of a metric beside its column: its role, its good direction, and a cap."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.files.file_metrics import FileMetric, suggest
from experiments.errors import Invalid
from experiments.vocabulary import SHARE_KINDS, Direction, MetricKind, MetricRole

_SECONDARY: Final = "--secondary"
_GUARDRAIL: Final = "--guardrail"
_DECREASE: Final = "--decrease"
_CAP: Final = "--cap"


def with_roles(
    metrics: Sequence[FileMetric],
    *,
    secondary: Sequence[str] = (),
    guardrails: Sequence[str] = (),
    decrease: Sequence[str] = (),
    caps: Sequence[str] = (),
) -> list[FileMetric]:
    """The metrics with what the options say of them; one that no option names is primary, and more of it is better.

    secondary, decrease: names. guardrails: NAME, or NAME=MARGIN in units of the metric. caps: NAME=NUMBER, or NAME=99% for that
    quantile of all units. Raises Invalid naming the option.

    >>> bought = FileMetric(name="bought", kind=MetricKind.PROPORTION, column="bought")
    >>> left = FileMetric(name="left", kind=MetricKind.PROPORTION, column="left")
    >>> made = with_roles([bought, left], guardrails=["left=0.002"], decrease=["left"])
    >>> [(str(metric.role), str(metric.direction), metric.margin) for metric in made]
    [('primary', 'increase', None), ('guardrail', 'decrease', 0.002)]
    """
    found = {metric.name: metric for metric in metrics}
    roles: dict[str, str] = {}
    for text in secondary:
        name = _known(text, found, _SECONDARY, roles)
        found[name] = replace(found[name], role=MetricRole.SECONDARY)
    for text in guardrails:
        name, equals, margin = text.rpartition("=") if text.strip() not in found else (text, "", "")
        name = _known(name or text, found, _GUARDRAIL, roles)
        found[name] = replace(
            found[name], role=MetricRole.GUARDRAIL, margin=_margin(name, margin) if equals else None
        )
    if all(metric.role != MetricRole.PRIMARY for metric in found.values()):
        raise Invalid(
            "one metric must stay primary, or there is nothing to decide by", field=next(iter(roles.values()))
        )
    for text in decrease:
        name = _known(text, found, _DECREASE)
        found[name] = replace(found[name], direction=Direction.DECREASE)
    for text in caps:
        name, equals, cap = text.rpartition("=")
        if not equals:
            raise Invalid(f"write NAME=NUMBER or NAME=99%, not {text!r}", field=_CAP)
        name = _known(name, found, _CAP)
        found[name] = _with_cap(found[name], cap.strip())
    return [found[metric.name] for metric in metrics]


def _known(text: str, known: dict[str, FileMetric], option: str, roles: dict[str, str] | None = None) -> str:
    name = text.strip()
    if name not in known:
        raise Invalid(f"there is no metric {name!r}{suggest(name, list(known))}", field=option)
    if roles is not None and name in roles:
        raise Invalid(f"{name!r} has a role already ({roles[name]})", field=option)
    if roles is not None:
        roles[name] = option
    return name


def _margin(name: str, text: str) -> float:
    margin = _number(text)
    if not (math.isfinite(margin) and margin >= 0):
        raise Invalid(
            f"the margin of {name!r} is a number from 0 on, in units of the metric, not {text!r}",
            field=_GUARDRAIL,
        )
    return margin


def _with_cap(metric: FileMetric, text: str) -> FileMetric:
    if metric.kind in (*SHARE_KINDS, MetricKind.QUANTILE):
        raise Invalid(f"{metric.name!r} is a {metric.kind}, which no single user can dominate", field=_CAP)
    if text.endswith("%"):
        share = _number(text[:-1]) / 100
        if not 0 < share < 1:
            raise Invalid(f"a quantile lies between 0% and 100%, not at {text}", field=_CAP)
        return replace(metric, cap_share=share)
    cap = _number(text)
    if not (math.isfinite(cap) and cap > 0):
        raise Invalid(f"a cap is a number above 0, or a quantile such as 99%, not {text!r}", field=_CAP)
    return replace(metric, cap=cap)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
