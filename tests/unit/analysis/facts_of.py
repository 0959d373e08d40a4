"""Facts made up for tests: arms with proportions and means, and the report on them."""

from datetime import UTC, datetime

from analysis.findings import Report
from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.verdicts.report import build_report
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

AS_OF = datetime(2026, 12, 1, 10, tzinfo=UTC)
VISIT = MetricSpec(key="visit", kind=MetricKind.PROPORTION)
SPEND = MetricSpec(key="spend", kind=MetricKind.MEAN)
OPTED_OUT = MetricSpec(
    key="opted_out",
    kind=MetricKind.PROPORTION,
    role=MetricRole.GUARDRAIL,
    direction=Direction.DECREASE,
    margin=0.01,
)
FINAL = AnalysisPlan(method=Method.FIXED, ended=True)


def visits(n: int, x: int) -> dict[str, Aggregate]:
    return {"visit": Aggregate.from_counts(n, x)}


def arm(variant: str, n: int = 1000, *, control: bool = False, **more: object) -> ArmFacts:
    known = {"weight": 1.0, "assigned": n, "mature": n, **more}
    return ArmFacts(variant=variant, control=control, **known)


def report(arms, metrics=(VISIT,), plan=FINAL, **more) -> Report:
    return build_report(experiment="spring", as_of=AS_OF, plan=plan, metrics=metrics, arms=arms, **more)


def two(x_control: int, x_treatment: int, n: int = 1000, *, extra_c=None, extra_t=None):
    """A control `a` and a treatment `b` of n users with so many visits."""
    return [
        arm("a", n, control=True, aggregates={**visits(n, x_control), **(extra_c or {})}),
        arm("b", n, aggregates={**visits(n, x_treatment), **(extra_t or {})}),
    ]
