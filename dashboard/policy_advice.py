"""Which allocation policy to take after a simulation, and why. Pure.

Policies of one simulation begin with the same random numbers, so that the error of a difference is at most the one used here,
sqrt(e1^2 + e2^2) of independent runs: what is called clear is clear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard import formats
from dashboard.simulated import Broadcast, Outcome, Simulated, amount_with_error, share_with_error
from dashboard.texts import say, told

CLEAR: Final = 2.0
"""Monte-Carlo errors that a difference must have to be called one."""
USUAL_ERROR: Final = 0.05


@dataclass(frozen=True, slots=True)
class Advice:
    """The policy to take, and sentences: the reason first, then what else should be known."""

    policy: str
    sentences: tuple[str, ...]


def advice(found: Simulated) -> Advice:
    """The policy that loses clearly less; where none does, the one that measures best."""
    rows: Sequence[Outcome | Broadcast] = found.broadcast or found.outcomes
    by_policy = {row.policy: row for row in rows}
    fixed = by_policy.get("fixed")
    bandits = sorted((row for row in rows if row.policy != "fixed"), key=lambda row: row.regret)
    if found.all_alike or fixed is None or not bandits:
        return Advice("fixed", (say("simulation.advice.alike"), *_cautions(found, "fixed")))
    best = bandits[0]
    gain, error = fixed.regret - best.regret, math.hypot(fixed.regret_error, best.regret_error)
    unit, gained = _unit(found), amount_with_error(gain, error)
    if gain <= CLEAR * error:
        words = say("simulation.advice.no_gain", name=policy_name(best.policy), gain=gained, unit=unit)
        return Advice("fixed", (words, *_cautions(found, "fixed")))
    chosen, words = best.policy, "loses_least"
    if len(bandits) > 1 and not _clearly(bandits[1], best):
        chosen, words = _sooner(found, [row.policy for row in bandits]), "level"
    gain = fixed.regret - by_policy[chosen].regret
    gained = amount_with_error(gain, math.hypot(fixed.regret_error, by_policy[chosen].regret_error))
    share = 100 * gain / fixed.regret
    reason = say(
        f"simulation.advice.{words}", name=policy_name(chosen), gain=gained, unit=unit, share=f"{share:.0f}%"
    )
    return Advice(chosen, (reason, *_cautions(found, chosen)))


def policy_name(policy: str) -> str:
    return told("simulation.policy", policy)


def _unit(found: Simulated) -> str:
    return told("simulation.unit", found.unit)


def _clearly(more: Outcome | Broadcast, less: Outcome | Broadcast) -> bool:
    return more.regret - less.regret > CLEAR * math.hypot(more.regret_error, less.regret_error)


def _sooner(found: Simulated, policies: Sequence[str]) -> str:
    """Of policies that lose alike the one that knows first, else more often; the first of them where that is the same."""

    def rank(policy: str) -> tuple[float, float]:
        row = next(each for each in found.outcomes if each.policy == policy)
        when = row.intervals_to_decision
        return (math.inf if when is None else when, -row.decided)

    return min(policies, key=rank)


def _cautions(found: Simulated, policy: str) -> list[str]:
    chosen = next((row for row in found.outcomes if row.policy == policy), None)
    said = []
    decided = [row for row in found.outcomes if row.intervals_to_decision is not None]
    # Where several arms are the best, none of them should win, however long it takes.
    to_find = len(found.best) == 1 and not found.broadcast
    if not decided and to_find:
        said.append(say("simulation.advice.undecided"))
    elif decided and to_find:
        first = min(decided, key=lambda row: row.intervals_to_decision or 0)
        mine = None if chosen is None else chosen.intervals_to_decision
        if first.policy != policy and (mine is None or (first.intervals_to_decision or 0) < mine):
            said.append(
                say(
                    "simulation.advice.knows_first",
                    name=policy_name(first.policy),
                    first=f"{first.intervals_to_decision:g}",
                    mine=formats.UNKNOWN if mine is None else f"{mine:g}",
                )
            )
    if chosen is not None and not found.all_alike:
        wrong = chosen.wrong_winner
        error = math.sqrt(wrong * (1 - wrong) / found.runs)
        if wrong - CLEAR * error > USUAL_ERROR:
            said.append(say("simulation.advice.often_wrong", share=share_with_error(wrong, found.runs)))
    return said
