"""Traffic by hand from a terminal: weights, holds, variants added and retired; errors of one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.repository import get_experiment
from experiments.service import design_of
from tests.integration.analysis_rows import START
from tests.integration.bandit_world import KEY, start, weights_now
from tests.integration.command_line import CommandLine

EVEN = ("silence=1", "reminder=1", "coupon=2")


@pytest.fixture
def running(touchstone: CommandLine, tmp_path: Path) -> Iterator[Database]:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    start(database, SteppedClock(START))
    yield database
    database.dispose()


def held(database: Database) -> bool:
    with database.snapshot() as session:
        return get_experiment(session, KEY).held_at is not None


def test_weights_are_set_held_and_given_back(touchstone: CommandLine, running: Database) -> None:
    done = touchstone("experiment", "weights", KEY, *EVEN, "--hold", "--reason", "few coupons")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{KEY}: epoch 2, silence 25.0%, reminder 25.0%, coupon 50.0% of new users; held, so that no bandit moves them\n"
    )
    assert weights_now(running) == {"silence": 0.25, "reminder": 0.25, "coupon": 0.5}
    # Other weights do not lift a hold by accident.
    again = touchstone(
        "experiment", "weights", KEY, "silence=0.2", "reminder=0.3", "coupon=0.5", "--reason", "x"
    )
    assert again.stdout.endswith("; held, so that no bandit moves them\n")
    assert held(running)
    assert touchstone("experiment", "resume-bandit", KEY, "--reason", "new ones came").stdout == (
        f"{KEY}: the weights are no longer held\n"
    )
    assert not held(running)
    assert touchstone("experiment", "weights", KEY, *EVEN, "--hold", "--reason", "x").returncode == 0
    assert touchstone("experiment", "weights", KEY, *EVEN, "--no-hold", "--reason", "x").returncode == 0
    assert not held(running)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (("silence=1", "reminder=1"), "weights.coupon: is required"),
        (("silence", "reminder=1"), "weights: write VARIANT=WEIGHT, such as coupon=2, not 'silence'"),
        (("silence=5%",), "weights.silence: is a number, not '5%'"),
        (("silence=1", "silence=2"), "weights.silence: is given twice"),
        (("silence=nan", "reminder=1", "coupon=1"), "weights.silence: is a number from 0 to"),
        (("silence=0", "reminder=0", "coupon=0"), "weights: are all 0"),
    ],
)
def test_weights_that_are_wrong_are_refused_in_one_line(
    touchstone: CommandLine, running: Database, weights: tuple[str, ...], words: str
) -> None:
    refused = touchstone("experiment", "weights", KEY, *weights, "--reason", "x")
    assert refused.returncode == 1
    assert words in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert weights_now(running)["silence"] == pytest.approx(1 / 3)


def test_a_variant_is_added_and_retired(touchstone: CommandLine, running: Database, tmp_path: Path) -> None:
    file = tmp_path / "voucher.yaml"
    file.write_text("key: voucher\nmessage: {text: Hello}\n")
    added = touchstone(
        "experiment", "add-variant", KEY, str(file), "--share", "0.1", "--reason", "an idea from support"
    )
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == (
        f"{KEY}: epoch 2, silence 30.0%, reminder 30.0%, coupon 30.0%, voucher 10.0% of new users\n"
    )
    with running.snapshot() as session:
        assert "voucher" in {each.key for each in design_of(get_experiment(session, KEY)).variants}
    twice = touchstone("experiment", "add-variant", KEY, str(file), "--reason", "x")
    assert (twice.returncode, len(twice.stderr.splitlines())) == (1, 1)
    assert "voucher" in twice.stderr
    unsaid = touchstone("experiment", "retire", KEY, "voucher", "--reason", "sold out")
    assert unsaid.returncode == 2
    assert "--planned" in unsaid.stderr
    gone = touchstone("experiment", "retire", KEY, "voucher", "--planned", "cancel", "--reason", "sold out")
    assert gone.stdout.endswith("voucher 0.0% of new users; 0 messages are cancelled\n")
    assert weights_now(running)["voucher"] == 0
    control = touchstone("experiment", "retire", KEY, "silence", "--planned", "keep", "--reason", "x")
    assert (control.returncode, "is the control" in control.stderr) == (1, True)


def test_what_is_not_there_is_told_in_one_line(
    touchstone: CommandLine, running: Database, tmp_path: Path
) -> None:
    nothing = touchstone("experiment", "resume-bandit", KEY, "--reason", "x")
    assert (nothing.returncode, "nobody holds the weights" in nothing.stderr) == (1, True)
    missing = touchstone("experiment", "add-variant", KEY, "none.yaml", "--reason", "x")
    assert (missing.returncode, missing.stderr) == (1, "touchstone: FILE: there is no file none.yaml\n")
    (tmp_path / "list.yaml").write_text("- key: voucher\n")
    wrong = touchstone("experiment", "add-variant", KEY, "list.yaml", "--reason", "x")
    assert "does not hold a variant: a mapping with key and message" in wrong.stderr
    unknown = touchstone("experiment", "weights", "autumn", *EVEN, "--reason", "x")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (1, 1)


def test_the_list_shows_what_was_shipped(touchstone: CommandLine, running: Database) -> None:
    assert "coupon" not in touchstone("experiment", "list").stdout
    shipped = touchstone("experiment", "ship", KEY, "--variant", "coupon", "--force", "--reason", "x")
    assert shipped.returncode == 0
    (row,) = [line for line in touchstone("experiment", "list").stdout.splitlines() if KEY in line]
    assert "running" in row
    assert "coupon" in row
