"""`analyze` on files as an experiment is analysed: roles, margins, caps, slices, and looks at a file that grows."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.files.files import analyze_file, read_file
from analysis.findings import Report
from analysis.stats.difference import absolute, difference
from analysis.stats.sequential import spending_rule
from experiments.errors import Invalid
from tests.integration.command_line import CommandLine
from tests.integration.honest import same_in_the_table
from tests.unit.analysis.pages import Page
from tests.unit.analysis.test_aggregates import of_values

USERS = 3000
COUNTRIES = ("NL", "BR", "US")
METRICS = ["spend=mean:spend", "bought=proportion:bought", "left=proportion:left"]
OPTIONS: dict[str, Any] = {"variant": "arm", "control": "A", "metrics": METRICS}


@pytest.fixture(scope="module")
def users() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    arm = np.array(["A", "B"])[np.arange(USERS) % 2]
    country = np.array(COUNTRIES)[rng.integers(0, 3, USERS)]
    spend = np.round(rng.gamma(1, 10, USERS) + 4 * ((arm == "B") & (country == "NL")), 2)
    spend[17] = 40_000.0
    return {
        "user": np.arange(USERS), "arm": arm, "country": country, "spend": spend,
        "bought": (rng.random(USERS) < 0.3).astype(int), "left": (rng.random(USERS) < 0.02).astype(int),
    }  # fmt: skip


@pytest.fixture
def path(users: dict[str, np.ndarray], tmp_path: Path) -> Path:
    file = tmp_path / "orders.csv"
    rows = zip(*users.values(), strict=True)
    file.write_text("\n".join([",".join(users), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return file


def analyse(path: Path, **options: Any) -> Report:
    return analyze_file(path, **{**OPTIONS, **options})


def test_roles_give_families_and_verdicts(path: Path) -> None:
    said = analyse(path, secondary=["spend"], guardrails=["left=0.03"], decrease=["left"])
    assert [str(metric.role) for metric in said.metrics] == ["secondary", "primary", "guardrail"]
    left = said.metrics[2].effects[0]
    assert left.guardrail is not None
    assert (left.guardrail.margin, left.guardrail.non_inferior, left.guardrail.breached) == (
        0.03,
        True,
        False,
    )
    # Families of one each: nothing is adjusted.
    assert all(metric.effects[0].p_value == metric.effects[0].adjusted_p_value for metric in said.metrics)
    plain = analyse(path)
    assert any(metric.effects[0].p_value != metric.effects[0].adjusted_p_value for metric in plain.metrics)


def test_a_guardrail_that_rises_is_harm_only_where_less_is_better(path: Path) -> None:
    harm = {
        "metrics": ["bought=proportion:bought", "spend=mean:spend"],
        "guardrails": ["spend"],
        "caps": ["spend=99%"],
    }
    risen = analyse(path, **harm).metrics[1].effects[0]
    assert risen.absolute is not None
    assert risen.guardrail is not None
    assert risen.absolute.lower > 0
    assert not risen.guardrail.breached
    fallen = analyse(path, **harm, decrease=["spend"])
    verdict = fallen.metrics[1].effects[0].guardrail
    assert verdict is not None
    assert verdict.breached
    assert fallen.decision.action == "stop_harm"


@pytest.mark.parametrize("by_unit", [False, True])
def test_a_cap_is_a_quantile_of_all_users_or_a_number(
    path: Path, users: dict[str, np.ndarray], by_unit: bool
) -> None:
    limit = float(np.quantile(users["spend"], 0.99, method="inverted_cdf"))
    for text, cap in (("spend=99%", limit), ("spend=25", 25.0)):
        said = analyse(path, caps=[text], unit="user" if by_unit else None).metrics[0].effects[0].absolute
        cut = np.minimum(users["spend"], cap)
        expected = absolute(
            difference(of_values(cut[users["arm"] == "A"]), of_values(cut[users["arm"] == "B"])), 0.05
        )
        assert said is not None
        assert (said.lower, said.upper) == pytest.approx((expected.lower, expected.upper), rel=1e-9)


def test_slices_are_what_the_users_of_each_say(path: Path, users: dict[str, np.ndarray]) -> None:
    read = read_file(path, **OPTIONS, caps=["spend=99%"], by="country")
    found = read.segments()
    assert found is not None
    cut = np.minimum(users["spend"], np.quantile(users["spend"], 0.99, method="inverted_cdf"))
    for each in found.metrics[0].slices:
        a, b = (cut[(users["arm"] == arm) & (users["country"] == each.slice)] for arm in "AB")
        expected = absolute(difference(of_values(a), of_values(b)), 0.05)
        assert (each.n_control, each.n) == (a.size, b.size)
        assert each.effect.absolute is not None
        assert each.effect.absolute.lower == pytest.approx(expected.lower, rel=1e-9)
    assert found.metrics[0].heterogeneity[0].differs
    assert not found.metrics[1].heterogeneity[0].differs
    same_in_the_table(read.inputs.report().to_json(), found.to_json())


def test_slices_beyond_the_largest_are_together_and_a_unit_of_two_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = ["user,arm,town,spend"]
    for user in range(9000):
        town = f"t{min(int(rng.geometric(0.03)), 400):03d}"
        rows += [f"{user},{'AB'[user % 2]},{town},{rng.gamma(2, 5):.2f}"]
        if user < 300:
            rows.append(f"{user},{'AB'[user % 2]},elsewhere,1")
    path = tmp_path / "towns.csv"
    path.write_text("\n".join(rows) + "\n")
    found = read_file(
        path, variant="arm", control="A", metrics=["spend=mean:spend"], unit="user", by="town"
    ).segments()
    assert found is not None
    assert len(found.slices) == 21
    assert found.slices[-1] == "(others)"
    assert "(several)" in found.slices
    assert sum(each.n + each.n_control for each in found.metrics[0].slices) == 9000


def test_looks_of_a_growing_file_are_those_of_spending(path: Path) -> None:
    said = analyse(path, method="spending", planned=6000, looks=[1000], metrics=METRICS[1:2])
    assert said.information == 0.5
    once = analyse(path, method="spending", planned=6000, metrics=METRICS[1:2])
    rule = spending_rule((1000 / 6000,), 0.5, 0.05, kind="obrien_fleming", final=False)
    found, alone = (each.metrics[0].effects[0] for each in (said, once))
    assert found.absolute is not None
    assert alone.absolute is not None
    assert found.p_value is not None
    width = found.absolute.upper - found.absolute.estimate
    fixed = analyse(path, metrics=METRICS[1:2]).metrics[0].effects[0].absolute
    assert fixed is not None
    # At half of the information the bound is that of the rule, and an earlier look makes it no lower.
    assert width / (fixed.upper - fixed.estimate) == pytest.approx(rule.bound(0.05) / 1.96, rel=2e-3)
    assert width >= alone.absolute.upper - alone.absolute.estimate
    assert said.decision.action == "continue"
    assert analyse(path, method="spending", planned=3000).decision.action != "continue"
    early = analyse(path, planned=6000)
    assert any("the fixed method is valid at its planned end only" in warning for warning in early.warnings)


def test_the_smallest_lift_worth_finding_can_end_it(path: Path) -> None:
    plain = {"metrics": ["bought=proportion:bought"]}
    assert analyse(path, **plain).decision.action == "inconclusive"
    assert analyse(path, **plain, mde=0.5).decision.action == "keep_control"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"secondary": ["spnd"]}, "--secondary: there is no metric 'spnd'; did you mean spend?"),
        (
            {"secondary": ["spend"], "guardrails": ["spend"]},
            "--guardrail: 'spend' has a role already (--secondary)",
        ),
        ({"secondary": ["spend", "bought", "left"]}, "--secondary: one metric must stay primary"),
        ({"guardrails": ["left=-1"]}, "--guardrail: the margin of 'left' is a number from 0 on"),
        ({"guardrails": ["left=nan"]}, "--guardrail: the margin of 'left'"),
        ({"decrease": ["x"]}, "--decrease: there is no metric 'x'"),
        ({"caps": ["spend"]}, "--cap: write NAME=NUMBER or NAME=99%"),
        ({"caps": ["spend=0"]}, "--cap: a cap is a number above 0"),
        ({"caps": ["spend=100%"]}, "--cap: a quantile lies between 0% and 100%"),
        ({"caps": ["bought=3"]}, "--cap: 'bought' is a proportion"),
    ],
)
def test_a_mistake_is_named(path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid) as refused:
        analyse(path, **options)
    assert says in str(refused.value)


def test_the_command_takes_all_of_it_and_replays(touchstone: CommandLine, path: Path, tmp_path: Path) -> None:
    command = [
        "analyze", "orders.csv", "--variant", "arm", "--control", "A", "--metric", METRICS[0], "--metric", METRICS[1],
        "--metric", METRICS[2], "--secondary", "spend", "--guardrail", "left=0.02", "--decrease", "left", "--cap", "spend=99%",
        "--method", "spending", "--planned", "4000", "--look", "900", "--mde", "0.1",
    ]  # fmt: skip
    run = touchstone(*command, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    (tmp_path / "r.json").write_text(run.stdout, encoding="utf-8")
    assert touchstone("replay", "r.json").returncode == 0
    sliced = touchstone(*command, "--by", "country", "--html", "r.html", "--csv", "r.csv")
    assert "orders.csv by country" in sliced.stdout
    assert "guardrail" in sliced.stdout
    assert "By country" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    segments = json.loads(touchstone(*command, "--by", "country", "--json").stdout)
    rows = list(csv.DictReader(StringIO((tmp_path / "r.csv").read_text(encoding="utf-8"))))
    told = [each for metric in segments["metrics"] for each in metric["slices"]]
    assert [float(row["p_value"]) for row in rows if row["row"] == "slice"] == [
        each["effect"]["p_value"] for each in told
    ]
