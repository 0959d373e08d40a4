"""The worked example on the page about bandits is what the command says."""

from pathlib import Path

from analysis.bandits import words
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.bandit_world import CLOSE, days_pass, start

PAGE = (Path(__file__).parents[2] / "docs/bandits.md").read_text(encoding="utf-8")


def test_the_worked_example_is_real(database: Database, clock: SteppedClock) -> None:
    start(database, clock)
    days = days_pass(database, clock, days=4, rates=CLOSE)
    assert len(days) == 4
    assert "right as they are" in days[2].reason
    for row in (days[0], days[1], days[3]):
        assert "\n".join(["```text", *words.told(row.outcome, row.reason, row.numbers), "```"]) in PAGE
