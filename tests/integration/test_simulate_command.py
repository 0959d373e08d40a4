"""`touchstone simulate`: a campaign tried under three policies, and what is missing said."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.command_line import CommandLine

CAMPAIGN = """
key: spring
name: Spring
variants:
  - {key: silence, control: true}
  - {key: coupon, message: {template: spring_coupon, language: en_US}}
metrics:
  - {key: bought, role: primary, kind: proportion, event: Order, window: 3d}
  - {key: revenue, role: secondary, kind: mean, event: Order, value: revenue, window: 3d}
"""


@pytest.fixture
def touchstone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    return CommandLine(tmp_path, monkeypatch, capsys)


WORLD = ("--rates", "silence=0.05,coupon=0.08", "--intervals", "12", "--runs", "60", "--delay", "coupon=2d")


def test_policies_side_by_side(touchstone: CommandLine) -> None:
    said = json.loads(touchstone("simulate", "campaign.yaml", *WORLD, "--json").stdout)
    by_policy = {one["policy"]: one for one in said["outcomes"]}
    assert list(by_policy) == ["fixed", "thompson", "top_two"]
    assert said["best"] == ["coupon"]
    assert by_policy["thompson"]["regret"] < by_policy["fixed"]["regret"]
    assert sum(by_policy["top_two"]["sends"].values()) == pytest.approx(12_000)
    assert by_policy["fixed"]["moved"] is None
    again = json.loads(touchstone("simulate", "campaign.yaml", *WORLD, "--json").stdout)
    assert again == said
    table = touchstone("simulate", "campaign.yaml", *WORLD).stdout
    assert "conversions lost (regret)" in table
    assert "fixed (planned)" in table


def test_messages_that_do_not_arrive_do_what_silence_does(touchstone: CommandLine) -> None:
    said = json.loads(
        touchstone("simulate", "campaign.yaml", *WORLD, "--non-delivery", "0.5", "--json").stdout
    )
    assert said["rates"] == {"silence": 0.05, "coupon": pytest.approx(0.065)}
    lifted = ("--rates", "silence=0.05", "--lift", "0.2", "--runs", "20")
    said = json.loads(touchstone("simulate", "campaign.yaml", *lifted, "--json").stdout)
    assert said["rates"]["coupon"] == pytest.approx(0.06)


def test_equal_arms_have_no_right_winner(touchstone: CommandLine) -> None:
    equal = ("--rates", "silence=0.05,coupon=0.05", "--runs", "50")
    said = json.loads(touchstone("simulate", "campaign.yaml", *equal, "--json").stdout)
    assert all(one["wrong_winner"] == one["decided"] and one["regret"] == 0 for one in said["outcomes"])
    assert said["notes"][0] == (
        "all arms are alike in this world, so there is nothing to find and nothing to regret: none should win, and what was checked is how often "
        "one is declared the best by mistake (at most in 5 % of campaigns)"
    )
    # More users would find nothing, either.
    assert not any("more users" in note for note in said["notes"])
    few = (*equal, "--users-per-interval", "20", "--json")
    assert not any(
        "more users" in note
        for note in json.loads(touchstone("simulate", "campaign.yaml", *few).stdout)["notes"]
    )


def test_where_some_arms_tie_nobody_is_told_to_bring_more_users(
    touchstone: CommandLine, tmp_path: Path
) -> None:
    third = "  - {key: email, message: {template: spring_email, language: en_US}}\nmetrics:"
    (tmp_path / "three.yaml").write_text(CAMPAIGN.replace("metrics:", third))
    tied = (
        "--rates",
        "silence=0.05,coupon=0.06,email=0.06",
        "--users-per-interval",
        "50",
        "--runs",
        "30",
        "--json",
    )
    notes = json.loads(touchstone("simulate", "three.yaml", *tied).stdout)["notes"]
    assert any("coupon and email are alike in this world" in note for note in notes)
    assert not any("more users" in note for note in notes)
    better = (
        "--rates",
        "silence=0.05,coupon=0.06,email=0.055",
        "--users-per-interval",
        "50",
        "--runs",
        "30",
        "--json",
    )
    notes = json.loads(touchstone("simulate", "three.yaml", *better).stdout)["notes"]
    assert any("more users or intervals" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            (),
            "--rates: say which share of users converts in silence, coupon, such as --rates silence=0.04,coupon=0.05",
        ),
        (
            ("--rates", "silence=0.05,email=0.1"),
            "--rates: there is no variant 'email'; there are silence, coupon",
        ),
        (("--rates", "silence=0.05,coupon=1.5"), "--rates: coupon: 1.5 is not between 0 and 1"),
        (("--rates", "silence=0.05", "--lift", "coupon=-3"), "--lift: coupon: -0.1 is not between 0 and 1"),
        (("--rates", "0.05"), "--rates: write ARM=VALUE"),
        (("--rates", "5%"), "--rates: write ARM=VALUE, such as silence=0.04,coupon=0.06, not '5%'"),
        (
            ("--rates", "silence=5%,coupon=6%"),
            "--rates: 'silence=5%': is not a number, and 5% is 0.05; write it like silence=0.04",
        ),
        (("--rates", "silence=some"), "--rates: 'silence=some': is not a number; write it like silence=0.04"),
        (("--rates", "silence=0.5,coupon=0.6", "--lift", "ten"), "--lift: 'ten': is not a number; write"),
        (
            ("--rates", "silence=0.5,coupon=0.6", "--drift", "2"),
            "--drift: with this drift a rate becomes 120%",
        ),
        (("--rates", "silence=0.5,coupon=0.6", "--delay", "soon"), "--delay: 'soon'"),
        (
            ("--rates", "silence=0.5,coupon=0.6", "--non-delivery", "2"),
            "--non-delivery: coupon: 2 is not between",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said(
    touchstone: CommandLine, options: tuple[str, ...], words: str
) -> None:
    run = touchstone("simulate", "campaign.yaml", *options)
    assert run.returncode == 1
    assert words in run.stderr


def test_too_few_runs_to_say_how_sure_it_is_are_refused(touchstone: CommandLine) -> None:
    run = touchstone("simulate", "campaign.yaml", "--rates", "silence=0.05,coupon=0.06", "--runs", "19")
    assert run.returncode == 2
    assert "Invalid value for '--runs': Input should be greater than or equal to 20" in run.stderr


def test_a_broadcast_is_played_in_waves_beside_everybody_at_once(touchstone: CommandLine) -> None:
    asked = ("--rates", "silence=0.05,coupon=0.1", "--intervals", "20", "--runs", "40")
    said = json.loads(touchstone("simulate", "campaign.yaml", *asked, "--json").stdout)
    at_once, thompson, top_two = said["waves"]["outcomes"]
    assert (said["waves"]["waves"], said["waves"]["users"]) == (10, 20_000)
    assert at_once["regret"] == pytest.approx(20_000 * 0.05 / 2)
    assert at_once["messaged"] == 10_000
    assert top_two["shipped"] > 0.9
    assert thompson["regret"] < at_once["regret"] > top_two["regret"]
    assert sum(thompson["users"].values()) == pytest.approx(20_000)
    assert thompson["messaged"] == pytest.approx(thompson["users"]["coupon"])
    table = touchstone("simulate", "campaign.yaml", *asked).stdout
    assert "As a broadcast of 20,000 users: at once, or in 10 waves" in table
    assert "at once (planned)" in table
    harm = ("--rates", "silence=0.1,coupon=0.02", "--intervals", "20", "--runs", "40", "--json")
    said = json.loads(touchstone("simulate", "campaign.yaml", *harm).stdout)
    for one in said["waves"]["outcomes"][1:]:
        assert one["ended"] == one["ended_by_report"] > 0.9
        assert one["wrongly_ended"] == one["shipped"] == 0


def test_waves_are_those_of_the_design_and_only_of_broadcasts(
    touchstone: CommandLine, tmp_path: Path
) -> None:
    asked = ("--rates", "silence=0.05,coupon=0.1", "--intervals", "4", "--runs", "20", "--json")

    def waves_with(text: str) -> Any:
        (tmp_path / "other.yaml").write_text(CAMPAIGN + text)
        return json.loads(touchstone("simulate", "other.yaml", *asked).stdout)["waves"]

    found = waves_with("allocation: {policy: thompson, waves: {users: 1500}}\n")
    assert (found["waves"], found["users"]) == (3, 4_000)
    found = waves_with("allocation: {policy: thompson, waves: {share: 0.3}}\n")
    assert found["waves"] == 4
    assert waves_with("trigger: {type: event, event: Seen}\n") is None


def test_money_and_orders(touchstone: CommandLine, tmp_path: Path) -> None:
    money = (
        CAMPAIGN.replace("primary", "x").replace("secondary", "primary").replace("role: x", "role: secondary")
    )
    (tmp_path / "money.yaml").write_text(money)
    asked = ("--rates", "silence=0.05,coupon=0.06", "--intervals", "8", "--runs", "40")
    said = json.loads(
        touchstone("simulate", "money.yaml", *asked, "--values", "40", "--sd", "20", "--json").stdout
    )
    fixed = said["outcomes"][0]
    assert said["unit"] == "revenue"
    assert said["values"] == {"silence": 40.0, "coupon": 40.0}
    assert said["worth"] == {"silence": pytest.approx(2.0), "coupon": pytest.approx(2.4)}
    # Half of the users, 8,000 in all, get 0.4 less than they might.
    assert fixed["regret"] == pytest.approx(8000 * 0.4 / 2, rel=0.02)
    dearer = ("--values", "silence=40", "--value-lift", "0.5", "--non-delivery", "0.5", "--json")
    said = json.loads(touchstone("simulate", "money.yaml", *asked, *dearer).stdout)
    # Of those who buy with the coupon 0.03 got the message and spend 60, and 0.025 did not and spend 40.
    assert said["rates"]["coupon"] == pytest.approx(0.055)
    assert said["worth"]["coupon"] == pytest.approx(0.03 * 60 + 0.025 * 40)
    (tmp_path / "orders.yaml").write_text(
        CAMPAIGN.replace("kind: proportion", "kind: count")
        + "allocation: {policy: thompson, cost: {message: 0.1, conversion: 12}}\ntrigger: {type: event, event: Seen}\n"
    )
    said = json.loads(touchstone("simulate", "orders.yaml", *asked, "--values", "1.5", "--json").stdout)
    assert said["unit"] == "money"
    assert said["worth"] == {
        "silence": pytest.approx(12 * 0.075),
        "coupon": pytest.approx(12 * 0.09 - 0.1),
    }
    table = touchstone("simulate", "orders.yaml", *asked, "--values", "1.5").stdout
    assert "money lost (regret)" in table
    assert "coupon 6.00% of 1.5: 0.98 a user" in table


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("mean, value: revenue", (), "--values: say how much revenue a user who has any has on average, at least in silence"),
        ("mean, value: revenue", ("--values", "coupon=3"), "at least in silence: --values silence=40"),
        ("mean, value: revenue", ("--values", "-3"), "--values: silence: -3 is not above 0"),
        ("mean, value: revenue", ("--values", "3", "--sd", "coupon=-1"), "--sd: coupon: -1 is below 0"),
        ("count", ("--values", "0.5"), "--values: silence: 0.5 is not at least 1: who has an event has one"),
        ("count", ("--values", "3", "--sd", "1"), "--sd: silence: 1 is too small: with 3 events on average it is at least 1.414"),
        ("proportion", ("--values", "3"), "--values: goes with a count, sum or mean"),
        ("quantile, value: revenue, level: 0.5", ("--values", "3"), "allocation.metric: 'bought' is of kind quantile"),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_are_refused(
    touchstone: CommandLine, tmp_path: Path, kind: str, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "other.yaml").write_text(CAMPAIGN.replace("kind: proportion", f"kind: {kind}"))
    run = touchstone("simulate", "other.yaml", *WORLD, *options)
    assert run.returncode == 1
    assert words in run.stderr
