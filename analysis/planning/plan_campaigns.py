"""What users of earlier campaigns did with their messages: the base of metrics that have no past without a campaign.

Reads, opt-outs and costs do not exist before somebody is messaged. So they are taken from the campaigns of the same category that were
started lately, with the report's own queries, arm by arm: arms that send where the control sends, silent arms where it does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

from sqlmodel import Session

from analysis.facts import facts
from analysis.facts.engines import SessionFacts
from analysis.planning.plan_findings import Base
from analysis.planning.plan_metrics import base_from, counts_messages
from analysis.planning.planning_facts import lately_started
from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData
from experiments.design import ExperimentDesign
from experiments.metrics import BUILT_IN, MetricDefinition
from experiments.service import design_of
from experiments.vocabulary import MESSAGE_RECEIVED_EVENT, OPTED_OUT_EVENT

CAMPAIGNS: Final = 10
"""The newest campaigns of the category that are looked at."""
LATELY: Final = timedelta(days=180)
FEWEST: Final = 100
"""Users of earlier campaigns whose window has closed, from which something is learned."""
REACTIONS: Final = frozenset({OPTED_OUT_EVENT, MESSAGE_RECEIVED_EVENT})
"""Events that answer a message, though they are no property of one."""
_DELIVERED: Final = "delivered."
Pooled = Mapping[str, Aggregate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """Users of the arms of earlier campaigns, by metric; `delivered` of them had a message that arrived. campaigns: their keys."""

    metrics: Pooled
    delivered: Pooled
    campaigns: tuple[str, ...]

    def base(self, key: str, definition: MetricDefinition, *, reach: float) -> Base:
        """What one user of the control will be like, when `reach` of the messages arrive; raises InsufficientData."""
        found = self.metrics.get(key)
        if found is None or found.n < FEWEST:
            raise InsufficientData(
                f"it comes of messages, and earlier campaigns of this category have {0 if found is None else found.n:,} users to learn "
                f"from (at least {FEWEST}): give its baseline"
            )
        base = base_from(found, definition, source="campaigns")
        if not counts_messages(definition):
            return base
        arrived = self.delivered[key].mean if key in self.delivered else 0.0
        return _reached_by(base, reach / arrived, definition) if arrived > 0 else base


def needs_campaigns(definition: MetricDefinition) -> bool:
    """Whether a metric has no past without messages."""
    events = {part.event for part in definition.quantities.values()}
    return counts_messages(definition) or bool(events & REACTIONS)


def earlier(
    session: Session,
    design: ExperimentDesign,
    definitions: Mapping[str, MetricDefinition],
    *,
    now: datetime,
) -> Earlier:
    """What happened to the users of earlier campaigns, of the arms that are like the control of this one. Quantiles are left out."""
    sends = design.control.message is not None
    asked = {key: each for key, each in definitions.items() if needs_campaigns(each) and each.level is None}
    arrived = {
        f"{_DELIVERED}{key}": BUILT_IN["delivered"].model_copy(update={"window": each.window})
        for key, each in asked.items()
    }
    pooled: dict[str, list[Aggregate]] = {key: [] for key in (*asked, *arrived)}
    seen: list[str] = []
    if asked:
        for experiment in lately_started(
            session, category=design.category, since=now - LATELY, most=CAMPAIGNS
        ):
            past = design_of(experiment)
            alike = [each.key for each in past.variants if (each.message is not None) == sends]
            if past.key == design.key or not alike or experiment.id is None:
                continue
            found = facts.gather(
                SessionFacts(session),
                experiment_id=experiment.id,
                definitions={**asked, **arrived},
                as_of=now,
            ).metrics
            seen.append(past.key)
            for key, by_variant in found.items():
                arms = (by_variant.get(variant) for variant in alike)
                pooled[key] += [arm for arm in arms if isinstance(arm, Aggregate) and arm.is_finite]
    merged = {key: reduce(Aggregate.merge, arms, facts.NOBODY) for key, arms in pooled.items()}
    return Earlier(
        metrics={key: merged[key] for key in asked if merged[key].n},
        delivered={key: merged[f"{_DELIVERED}{key}"] for key in asked if merged[f"{_DELIVERED}{key}"].n},
        campaigns=tuple(seen),
    )


def _reached_by(base: Base, times: float, definition: MetricDefinition) -> Base:
    """The base when `times` as many users are reached as then, each of whom does what they did:  E Y and E Y^2 both times that.

    A ratio of messages keeps its value (both of its sides move), and only its spread would not, which is left.
    """
    if definition.denominator is not None:
        return base
    squares = (base.sd * base.sd + base.mean * base.mean) * times
    mean = base.mean * times
    if definition.is_share:
        mean = min(mean, 1.0)
        squares = mean
    return replace(base, mean=mean, sd=max(squares - mean * mean, 0.0) ** 0.5)
