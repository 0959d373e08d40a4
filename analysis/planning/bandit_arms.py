"""What users of each arm of a made-up world do: read from what was assumed, and what becomes of it where messages do not arrive. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.planning.bandit_inputs import Assumed, Written
from analysis.stats.simulated_amounts import Amounts
from experiments.design import ExperimentDesign
from experiments.errors import Problem
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """rate: the share of users with a number above 0; amounts: what that number is, None where it is 1."""

    rate: float
    amounts: Amounts | None


def read_arms(
    design: ExperimentDesign, definition: MetricDefinition, assumed: Assumed, written: Written
) -> tuple[dict[str, Arm], list[Problem]]:
    """Each arm as its message does when it arrives, in the order of the design; and what is missing, unknown or impossible (then there are no arms)."""
    arms = [variant.key for variant in design.variants]
    problems = _of_no_arm(arms, assumed, written)
    if problems:
        return {}, problems
    rates = _lifted(design, assumed.rates, assumed.lift)
    problems = _missing_rates(design, rates, written)
    problems += [
        written.problem("rates" if key in assumed.rates else "lift", key, f"{rate:g} is not between 0 and 1")
        for key, rate in rates.items()
        if not 0 <= rate <= 1
    ]
    problems += [
        written.problem("non_delivery", key, f"{share:g} is not between 0 and 1")
        for key, share in assumed.non_delivery.items()
        if not 0 <= share <= 1
    ]
    problems += [
        written.problem("non_delivery", key, "gets no message, so none can fail to arrive")
        for key, share in assumed.non_delivery.items()
        if share > 0 and design.variant(key).message is None
    ]
    amounts, wrong = (
        ({}, _not_of_a_share(assumed, written))
        if definition.is_share
        else _amounts(design, definition, assumed, written)
    )
    problems += wrong
    if problems:
        return {}, problems
    return {key: Arm(rate=rates[key], amounts=amounts.get(key)) for key in arms}, []


def delivered(design: ExperimentDesign, reached: Mapping[str, Arm], assumed: Assumed) -> dict[str, Arm]:
    """Each arm with those whom its message does not reach, who do what the silent control does, or nothing where none is silent.

    The amounts of an arm that is a mixture have its mean and sd, and the form of one arm's.
    """
    control = design.control
    otherwise = reached[control.key] if control.message is None else None
    return {
        variant.key: reached[variant.key]
        if variant.message is None
        else _mixed(reached[variant.key], otherwise, assumed.non_delivery.get(variant.key, 0.0))
        for variant in design.variants
    }


def _mixed(arm: Arm, otherwise: Arm | None, lost: float) -> Arm:
    other = 0.0 if otherwise is None else otherwise.rate
    rate = arm.rate + (other - arm.rate) * lost
    if arm.amounts is None or otherwise is None or otherwise.amounts is None or rate == 0 or lost == 0:
        return Arm(rate=rate, amounts=arm.amounts)
    share = lost * other / rate
    one, two = (
        (1 - share) * mine + share * theirs
        for mine, theirs in zip(arm.amounts.moments[:2], otherwise.amounts.moments[:2], strict=True)
    )
    sd = math.sqrt(max(two - one**2, one - 1 if arm.amounts.whole else 0.0))
    return Arm(rate=rate, amounts=Amounts(one, sd, whole=arm.amounts.whole))


def _lifted(
    design: ExperimentDesign, values: Mapping[str, float], lift: Mapping[str, float]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for key in (variant.key for variant in design.variants):
        if key in values:
            found[key] = values[key]
        elif key in lift and design.control.key in values:
            found[key] = values[design.control.key] * (1 + lift[key])
    return found


def _missing_rates(design: ExperimentDesign, rates: Mapping[str, float], written: Written) -> list[Problem]:
    arms, control = [variant.key for variant in design.variants], design.control.key
    missing = [key for key in arms if key not in rates]
    if not missing:
        return []
    every = written.by_arm("rates", {key: round(0.04 + 0.01 * i, 2) for i, key in enumerate(arms)})
    others = written.by_arm("lift", {key: 0.1 for key in arms if key != control})
    return [
        Problem(
            written.name("rates"),
            f"say which share of users converts in {', '.join(missing)}, such as {every}; or give the control's, "
            f"{written.by_arm('rates', {control: 0.04})}, and what the others add to it: {others}",
        )
    ]


def _not_of_a_share(assumed: Assumed, written: Written) -> list[Problem]:
    words = "goes with a count, sum or mean; a user's number of a proportion is 0 or 1"
    return [
        Problem(written.name(name), words)
        for name in ("values", "value_lift", "sd")
        if getattr(assumed, name)
    ]


def _amounts(
    design: ExperimentDesign, definition: MetricDefinition, assumed: Assumed, written: Written
) -> tuple[dict[str, Amounts], list[Problem]]:
    control, whole = design.control.key, definition.kind == MetricKind.COUNT
    if control not in assumed.values and any(
        key not in assumed.values for key in (variant.key for variant in design.variants)
    ):
        what = "events" if whole else f"{definition.value or 'money'}"
        words = (
            f"say how much {what} a user who has any has on average, at least in {control}: "
            f"{written.by_arm('values', {control: 1.2 if whole else 40})}"
        )
        return {}, [Problem(written.name("values"), words)]
    # Where nothing is said of an arm, its buyers spend what those of the control do.
    lift = {variant.key: 0.0 for variant in design.variants} | assumed.value_lift
    found: dict[str, Amounts] = {}
    problems = []
    for key, mean in _lifted(design, assumed.values, lift).items():
        field = "values" if key in assumed.values else "value_lift"
        least = 1.0 if whole else 0.0
        if mean < least or mean == 0:
            words = f"{mean:g} is not {'at least 1: who has an event has one' if whole else 'above 0'}"
            problems.append(written.problem(field, key, words))
            continue
        sd = _sd(key, control, mean, assumed, whole=whole)
        try:
            found[key] = Amounts(mean, sd, whole=whole)
        except ValueError:
            words = f"{sd:g} is too small: with {mean:g} events on average it is at least {math.sqrt(mean - 1):.4g}"
            problems.append(written.problem("sd", key, words if whole and sd >= 0 else f"{sd:g} is below 0"))
    return found, problems


def _sd(key: str, control: str, mean: float, assumed: Assumed, *, whole: bool) -> float:
    if key in assumed.sd:
        return assumed.sd[key]
    usual = math.sqrt(mean - 1) if whole else mean
    if control not in assumed.sd or control not in assumed.values:
        return usual
    alike = assumed.sd[control] * mean / assumed.values[control]
    return max(alike, usual) if whole else alike


def _of_no_arm(arms: list[str], assumed: Assumed, written: Written) -> list[Problem]:
    given = {name: getattr(assumed, name) for name in Assumed.model_fields}
    return [
        Problem(written.name(name, key), f"there is no variant {key!r}; there are {', '.join(arms)}")
        for name, value in given.items()
        if isinstance(value, dict)
        for key in value
        if key not in arms
    ]
