"""How a plan sizes a guardrail: by the boundary where the report clears it so, else by the e-process."""

import pytest

from analysis.stats.exact_power import ExactPower
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.planned_world import METRICS, PLAN, document, plan, settle

BY_E_PROCESS = "simulated, 4,000 runs, seed 20261201: the e-process that judges it has no formula"
BY_BOUNDARY = "simulated, 4,000 runs, seed 20261201: the tests that clear a margin have no formula"


@pytest.mark.parametrize(
    ("method", "margin", "words"),
    [("spending", True, BY_BOUNDARY), ("spending", False, BY_E_PROCESS), ("always_valid", True, BY_E_PROCESS)],
)  # fmt: skip
def test_only_a_margin_under_spending_goes_by_a_boundary(
    database: Database, clock: SteppedClock, method: str, margin: bool, words: str
) -> None:
    with database.transaction() as session:
        settle(session, clock)
    guard = {"key": "opted_out", "role": "guardrail"} | ({"margin": 0.002} if margin else {})
    made = plan(
        database,
        clock,
        document(
            plan={**PLAN, "mde": 0.1, "method": method},
            metrics=[*(each for each in METRICS if each["key"] != "opted_out"), guard],
        ),
        half_life="7d",
        baseline={"bought": 0.1, "opted_out": 0.01},
        users=40_000,
    )
    found = next(each for each in made.metrics if each.metric == "opted_out")
    assert [each for each in found.reasons if each.startswith("simulated")] == [words]
    if method == "always_valid":
        exact = ExactPower(monitoring=Monitoring(method="always_valid").one_sided(), one_sided=True)
        assert found.users_needed == exact.non_inferiority_size(
            Outcome.rate(0.01, reach=0.75),
            margin=0.002,
            power=0.8,
            shares=Shares(control=1 / 3, treatment=1 / 3),
        )
