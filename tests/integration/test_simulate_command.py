"""`touchstone simulate`: a campaign tried under three policies, and what is missing said."""

import json
from pathlib import Path

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
    lifted = ("--rates", "silence=0.05", "--lift", "0.2", "--runs", "5")
    said = json.loads(touchstone("simulate", "campaign.yaml", *lifted, "--json").stdout)
    assert said["rates"]["coupon"] == pytest.approx(0.06)


def test_equal_arms_have_no_right_winner(touchstone: CommandLine) -> None:
    equal = ("--rates", "silence=0.05,coupon=0.05", "--runs", "50")
    said = json.loads(touchstone("simulate", "campaign.yaml", *equal, "--json").stdout)
    assert all(one["wrong_winner"] == one["decided"] and one["regret"] == 0 for one in said["outcomes"])
    assert "all arms are alike here" in said["notes"][0]


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


def test_a_metric_that_is_no_share_of_users_is_refused(touchstone: CommandLine, tmp_path: Path) -> None:
    swapped = (
        CAMPAIGN.replace("primary", "x").replace("secondary", "primary").replace("role: x", "role: secondary")
    )
    (tmp_path / "campaign.yaml").write_text(swapped)
    run = touchstone("simulate", "campaign.yaml", *WORLD)
    assert run.returncode == 1
    assert "'revenue' is of kind mean" in run.stderr
