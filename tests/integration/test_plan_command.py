"""`touchstone plan`: a file over real users, sizes without a database, options that cannot be."""

import json
from pathlib import Path

import pytest
import yaml

from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.integration.planned_world import document, settle

SIZE = ("plan", "size", "--baseline", "0.1", "--mde", "0.1")


@pytest.fixture
def campaign_file(touchstone: CommandLine, tmp_path: Path) -> str:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with database.transaction() as session:
        settle(session, SystemClock())
    database.dispose()
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(document()))
    return "campaign.yaml"


def test_a_campaign_is_planned_for_the_users_there_are(touchstone: CommandLine, campaign_file: str) -> None:
    shown = touchstone("plan", campaign_file, "--simulate", "100", "--reach", "0.9")
    assert shown.returncode == 0, shown.stderr
    for words in (
        "too few",
        "left out: consent",
        "take part now",
        "Simulated: 100 experiments",
        "What limits it",
        "What its guards would stop",
        "opted_out: against a silent control, a variant with 0.4%",
        "● power",
    ):
        assert words in shown.stdout
    whole = touchstone("plan", "campaign", campaign_file, "--json")
    assert json.loads(whole.stdout)["audience"]["taking_part"] == 300
    assert touchstone("plan", "--json", campaign_file).stdout.count('"taking_part": 300') == 1


def test_what_is_given_counts(touchstone: CommandLine, campaign_file: str) -> None:
    said = touchstone(
        "plan", campaign_file, "--json", "--users", "50000", "--baseline", "bought=0.05", "--sd", "revenue=20",
        "--rho", "revenue=0.4", "--half-life", "2d", "--looks", "3",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    made = json.loads(said.stdout)
    assert made["entry"]["by_the_end"] == 50_000
    assert made["metrics"][0]["base"]["mean"] == 0.05
    assert made["metrics"][1]["base"]["rho"] == 0.4
    assert made["looks"] == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--baseline", "bought"), "--baseline: write METRIC=NUMBER"),
        (("--baseline", "sold=0.1"), "--baseline.sold: the campaign has no metric 'sold'"),
        (("--reach", "2"), "--reach: "),
        (("--per-day", "-1"), "--per-day: "),
        (("--half-life", "soon"), "--half-life: "),
    ],
)
def test_options_of_a_plan_that_cannot_be(
    touchstone: CommandLine, campaign_file: str, options: tuple[str, str], words: str
) -> None:
    assert words in touchstone.fails("plan", campaign_file, *options)


def test_files_that_are_none(touchstone: CommandLine, tmp_path: Path) -> None:
    assert "there is no file nowhere.yaml" in touchstone.fails("plan", "nowhere.yaml")
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(document()))
    assert "there is no" in touchstone.fails("plan", "campaign.yaml")


def test_a_size_needs_no_database(touchstone: CommandLine, tmp_path: Path) -> None:
    shown = touchstone(*SIZE, "--arms", "3", "--method", "always_valid", "--users", "60000")
    assert shown.returncode == 0, shown.stderr
    for words in ("users needed", "each at 0.025", "14 looks", "│ users there are"):
        assert words in shown.stdout
    fixed = json.loads(touchstone(*SIZE, "--method", "fixed", "--json").stdout)
    assert fixed["users_needed"] == 29_497
    simulated = json.loads(touchstone(*SIZE, "--simulate", "500", "--weights", "2,1,1", "--json").stdout)
    assert len(simulated["simulation"]["found"]) == 2
    assert not (tmp_path / "touchstone.db").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--baseline", "7"), "--baseline: is a share"),
        (("--mde", "0"), "--mde: is a relative effect"),
        (("--weights", "1,x"), "--weights: write numbers"),
        (("--window", "week"), "--window: "),
        (("--half-life", "0s"), "--half-life: "),
        (("--power", "0.01"), "--power: "),
    ],
)
def test_options_of_a_size_that_cannot_be(
    touchstone: CommandLine, options: tuple[str, str], words: str
) -> None:
    assert words in touchstone.fails(*SIZE, *options)


def test_the_help_teaches(touchstone: CommandLine) -> None:
    whole = touchstone("plan", "--help")
    assert whole.returncode == 0
    assert "touchstone plan FILE" in whole.stdout
    for command in ("campaign", "size"):
        shown = touchstone("plan", command, "--help")
        assert "Example: touchstone plan" in " ".join(shown.stdout.split())
