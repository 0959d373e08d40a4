"""How the power of one comparison is found: by a formula where the report's own test has one, else by simulation. Pure.

The seam for designs without a formula: whatever answers `Way` can be planned with. A share that the report judges by its
e-process is `stats.exact_power.ExactPower`, a margin of harm under `spending` or `fixed` `stats.margin_power.MarginPower`; everything else is a `Formula`.
"""

from dataclasses import dataclass, replace
from typing import Final, Protocol

from analysis.stats import power as formulas
from analysis.stats.exact_power import FEW, ExactPower
from analysis.stats.margin_power import MarginPower
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares
from experiments.vocabulary import Method

CURVE_RUNS: Final = 1_000
"""Simulated experiments for one point of a picture."""
SWITCHES_EARLY: Final = 4 / 3
"""Times the few conversions of `always_valid` by the end from which on its sequence alone tells the power to 0.01."""


class Way(Protocol):
    """The answers of `stats.power`, of one comparison, however they are found."""

    def power(self, outcome: Outcome, *, effect: float, n: float, shares: Shares) -> float:
        """P(significant by the planned end)."""
        ...

    def sample_size(self, outcome: Outcome, *, effect: float, power: float, shares: Shares) -> int:
        """Units of all arms that are needed."""
        ...

    def minimum_detectable_effect(
        self, outcome: Outcome, *, n: float, power: float, shares: Shares, falls: bool = False
    ) -> float:
        """The smallest relative effect that is found."""
        ...

    def non_inferiority_power(self, outcome: Outcome, *, margin: float, n: float, shares: Shares) -> float:
        """P(a margin of harm is cleared by the planned end) without harm."""
        ...

    def non_inferiority_size(self, outcome: Outcome, *, margin: float, power: float, shares: Shares) -> int:
        """Units of all arms that are needed for that."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """The formulas of `stats.power` for one way of monitoring."""

    monitoring: Monitoring

    def power(self, outcome: Outcome, *, effect: float, n: float, shares: Shares) -> float:
        return formulas.power(outcome, self.monitoring, effect=effect, n=n, shares=shares)

    def sample_size(self, outcome: Outcome, *, effect: float, power: float, shares: Shares) -> int:
        return formulas.sample_size(outcome, self.monitoring, effect=effect, power=power, shares=shares)

    def minimum_detectable_effect(
        self, outcome: Outcome, *, n: float, power: float, shares: Shares, falls: bool = False
    ) -> float:
        return formulas.minimum_detectable_effect(
            outcome, self.monitoring, n=n, power=power, shares=shares, falls=falls
        )

    def non_inferiority_power(self, outcome: Outcome, *, margin: float, n: float, shares: Shares) -> float:
        return formulas.non_inferiority_power(outcome, self.monitoring, margin=margin, n=n, shares=shares)

    def non_inferiority_size(self, outcome: Outcome, *, margin: float, power: float, shares: Shares) -> int:
        return formulas.non_inferiority_size(
            outcome, self.monitoring, margin=margin, power=power, shares=shares
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UntilMany:
    """A share under `always_valid`: simulated where the arms end with few conversions, by the formula beyond."""

    simulated: ExactPower
    formula: Formula

    def chosen(self, outcome: Outcome, n: float, shares: Shares) -> ExactPower | Formula:
        """Which of the two answers for so many units."""
        least = n * min(shares.control, shares.treatment) * min(outcome.mean, 1 - outcome.mean)
        return self.simulated if least < FEW * SWITCHES_EARLY else self.formula

    def power(self, outcome: Outcome, *, effect: float, n: float, shares: Shares) -> float:
        return self.chosen(outcome, n, shares).power(outcome, effect=effect, n=n, shares=shares)

    def sample_size(self, outcome: Outcome, *, effect: float, power: float, shares: Shares) -> int:
        guess = self.formula.sample_size(outcome, effect=effect, power=power, shares=shares)
        return self.chosen(outcome, guess, shares).sample_size(
            outcome, effect=effect, power=power, shares=shares
        )

    def minimum_detectable_effect(
        self, outcome: Outcome, *, n: float, power: float, shares: Shares, falls: bool = False
    ) -> float:
        return self.chosen(outcome, n, shares).minimum_detectable_effect(
            outcome, n=n, power=power, shares=shares, falls=falls
        )

    def non_inferiority_power(self, outcome: Outcome, *, margin: float, n: float, shares: Shares) -> float:
        return self.formula.non_inferiority_power(outcome, margin=margin, n=n, shares=shares)

    def non_inferiority_size(self, outcome: Outcome, *, margin: float, power: float, shares: Shares) -> int:
        return self.formula.non_inferiority_size(outcome, margin=margin, power=power, shares=shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A share under `spending` (harm is found by the e-process, that there is none by the boundary: decision 0035), or under `fixed`."""

    harm: ExactPower | Formula
    margin: MarginPower

    def power(self, outcome: Outcome, *, effect: float, n: float, shares: Shares) -> float:
        return self.harm.power(outcome, effect=effect, n=n, shares=shares)

    def sample_size(self, outcome: Outcome, *, effect: float, power: float, shares: Shares) -> int:
        return self.harm.sample_size(outcome, effect=effect, power=power, shares=shares)

    def minimum_detectable_effect(
        self, outcome: Outcome, *, n: float, power: float, shares: Shares, falls: bool = False
    ) -> float:
        return self.harm.minimum_detectable_effect(outcome, n=n, power=power, shares=shares, falls=falls)

    def non_inferiority_power(self, outcome: Outcome, *, margin: float, n: float, shares: Shares) -> float:
        return self.margin.power(outcome, margin=margin, n=n, shares=shares)

    def non_inferiority_size(self, outcome: Outcome, *, margin: float, power: float, shares: Shares) -> int:
        return self.margin.size(outcome, margin=margin, power=power, shares=shares)


def way_for(monitoring: Monitoring, *, method: Method, is_share: bool, guards: bool = False) -> Way:
    """How the report will judge the comparison (`compare.is_exact_sequential`), and how to plan for it.

    method: the effective one; `exact` has the monitoring of `always_valid`. guards: a guardrail, whose `monitoring` is one-sided.
    """
    formula = Formula(monitoring=monitoring)
    exact = ExactPower(monitoring=replace(monitoring, method=str(Method.ALWAYS_VALID)), one_sided=guards)
    if is_share and guards and method in (Method.SPENDING, Method.FIXED):
        harm = exact if method == Method.SPENDING else formula
        return Guardrail(harm=harm, margin=MarginPower(monitoring=monitoring))
    if is_share and (guards or method == Method.EXACT):
        return exact
    if is_share and method == Method.ALWAYS_VALID:
        return UntilMany(simulated=ExactPower(monitoring=monitoring, while_few=True), formula=formula)
    return formula


def found_by(way: Way, outcome: Outcome, *, n: float, shares: Shares, keeps: bool = False) -> str | None:
    """How an answer about so many units is found, in words; None: by a formula. keeps: that a margin is kept was asked."""
    if isinstance(way, Guardrail):
        asked = way.margin if keeps else way.harm
        return None if isinstance(asked, Formula) else asked.words
    chosen = way.chosen(outcome, n, shares) if isinstance(way, UntilMany) else way
    return chosen.words if isinstance(chosen, ExactPower) else None


def for_picture(way: Way) -> Way:
    """The same with fewer runs for each point."""
    if isinstance(way, UntilMany):
        return replace(way, simulated=replace(way.simulated, runs=CURVE_RUNS))
    if isinstance(way, Guardrail) and isinstance(way.harm, ExactPower):
        return replace(way, harm=replace(way.harm, runs=CURVE_RUNS))
    return replace(way, runs=CURVE_RUNS) if isinstance(way, ExactPower) else way
