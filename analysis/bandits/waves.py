"""Whether the next wave of a broadcast goes out in this slot, waits, or is the end of it. Pure.

First rule that applies:

1 nothing     the experiment has no waves, or all of them are out
2 held        the experiment is paused; the split is in doubt; the wave before is still being drawn; its messages would expire unsent
3 shipped     the report's decision is to ship a variant that still gets users: the rest of the audience gets it
4 ended       the report's decision is to keep the control: the rest of the audience gets the control (nothing, where that is silent)
5 held        what keeps the slot from moving traffic may be otherwise later: an old copy, thin data with windows still open
6 ended       this would be the last wave, and the control is the arm most probably the best of all that get users: nothing is better than it
7 released    with the weights of this slot

While the weights are held by hand the campaign is in somebody's hands: waves go out, and nothing is shipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from experiments.allocation import BanditAllocation
from experiments.arms import active_arms
from experiments.clock import format_moment
from experiments.design import ExperimentDesign
from experiments.models import Experiment
from experiments.vocabulary import DecisionAction, ExperimentStatus
from experiments.waves import is_waiting
from targeting.models import Enrolment

WaveAction = Literal["released", "held", "shipped", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What becomes of the next wave, and why. before, upto: the share of those who take part that is out before and after it.
    variant: what the rest of the audience gets, when this is the end.
    """

    action: WaveAction
    reason: str
    before: float
    upto: float
    variant: str | None = None

    def told(self) -> dict[str, Any]:
        """As plain JSON, for the numbers of a slot."""
        return {
            "action": self.action,
            "reason": self.reason,
            "before": self.before,
            "upto": self.upto,
            "variant": self.variant,
        }


def next_wave(
    experiment: Experiment,
    design: ExperimentDesign,
    bandit: BanditAllocation,
    progress: Enrolment | None,
    *,
    doubt: str | None,
    waits_for: str | None,
    decision: Mapping[str, Any] | None,
    weights: Mapping[str, float],
    p_best: Mapping[str, float],
    now: datetime,
    upto: float,
) -> Wave | None:
    """What becomes of the next wave, which would reach `upto`; None where there is none.

    doubt: why users were not drawn as promised; None where they were. waits_for: what keeps the slot from moving traffic
    and may pass; None where nothing does. decision: that of the newest report. weights: of the open epoch. p_best: the
    chance of each compared arm to be the best; empty when it cannot be told.
    """
    if bandit.waves is None or experiment.released is None or not is_waiting(experiment):
        return None
    before = experiment.released

    def wave(action: WaveAction, reason: str, variant: str | None = None) -> Wave:
        reaches = upto if action == "released" else before
        return Wave(action=action, reason=reason, before=before, upto=reaches, variant=variant)

    by_hand, ending = experiment.held_at is not None, None
    held = _blocked(experiment, design, progress, doubt=doubt, now=now)
    if held is None and not by_hand:
        ending = _decided(design, decision, weights)
    if held is None and ending is None:
        held = waits_for
        if held is None and not by_hand and upto >= 1:
            ending = _nothing_better(design, p_best, weights)
    if ending is not None:
        return wave(*ending)
    if held is not None:
        return wave("held", held)
    if upto == before:
        return wave("released", "nobody could take part; the audience is counted anew for the first wave")
    return wave("released", f"{before:.4g} of those who take part are out, and with this wave {upto:.4g}")


def _blocked(
    experiment: Experiment,
    design: ExperimentDesign,
    progress: Enrolment | None,
    *,
    doubt: str | None,
    now: datetime,
) -> str | None:
    if experiment.status != ExperimentStatus.RUNNING:
        return f"the experiment is {experiment.status}"
    # No report can be believed then, whatever it has decided; it knows the sizes of the arms, and not the chances behind them.
    if doubt is not None:
        return doubt
    if progress is None or progress.finished_at is None:
        return "the wave before is still being drawn"
    gives_up = design.expires.at
    if gives_up is not None and now >= gives_up:
        return f"its messages would expire unsent, for `expires.at` is {format_moment(gives_up)}"
    return None


def _decided(
    design: ExperimentDesign, decision: Mapping[str, Any] | None, weights: Mapping[str, float]
) -> tuple[WaveAction, str, str] | None:
    variant = "" if decision is None else str(decision["variant"])
    # One that was retired, or stopped by a guardrail, is not shipped by itself.
    if decision is not None and decision["action"] == DecisionAction.SHIP and weights.get(variant, 0) > 0:
        return "shipped", f"the rest gets {variant}: {decision['because']}", variant
    if decision is not None and decision["action"] == DecisionAction.KEEP_CONTROL:
        return "ended", f"{_rest_gets(design)}: {decision['because']}", design.control.key
    return None


def _nothing_better(
    design: ExperimentDesign, p_best: Mapping[str, float], weights: Mapping[str, float]
) -> tuple[WaveAction, str, str] | None:
    control = design.control.key
    # Of a variant that has only just joined nobody can tell whether it is better.
    if any(arm not in p_best for arm in active_arms(weights)):
        return None
    if not p_best or max(p_best, key=lambda arm: p_best[arm]) != control:
        return None
    said = f"before the last wave nothing is better than {control}, which is the best with probability {p_best[control]:.3g}"
    return "ended", f"{_rest_gets(design)}: {said}", control


def _rest_gets(design: ExperimentDesign) -> str:
    control = design.control
    return "nobody more is messaged" if control.message is None else f"the rest gets {control.key}"
