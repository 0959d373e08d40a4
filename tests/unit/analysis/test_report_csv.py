import csv
from io import StringIO

import pytest

from analysis.inputs import AnalysisPlan, FactorSpec
from analysis.reports.report_csv import COLUMNS, render_csv
from analysis.stats.aggregates import Aggregate
from tests.integration.honest import same_in_the_table
from tests.unit.analysis.facts_of import SPEND, VISIT, arm, report, two, visits


def rows(body):
    return list(csv.DictReader(StringIO(render_csv(body), newline="")))


def test_one_row_for_each_metric_and_variant_with_all_digits():
    body = report(two(150, 100), metrics=(VISIT, SPEND)).to_json()
    found = rows(body)
    assert [(row["metric"], row["variant"]) for row in found] == [
        ("visit", "a"), ("visit", "b"), ("spend", "a"), ("spend", "b"),
    ]  # fmt: skip
    assert list(found[0]) == list(COLUMNS)
    effect = body["metrics"][0]["effects"][0]
    b = found[1]
    assert (float(b["estimate"]), float(b["lower"])) == (
        effect["absolute"]["estimate"],
        effect["absolute"]["lower"],
    )
    assert float(b["relative_upper"]) == effect["relative"]["upper"]
    assert float(b["adjusted_lower"]) == effect["interval_adjusted"]["lower"]
    assert float(b["probability_better"]) == effect["bayes"]["probability_better"]
    assert (b["significant"], b["control"], b["n"]) == ("true", "a", "1000")


def test_negative_numbers_stay_numbers_and_what_cannot_be_told_is_empty():
    found = rows(report(two(150, 100), metrics=(VISIT, SPEND)).to_json())
    assert found[1]["estimate"].startswith("-0.0")
    assert float(found[1]["lower"]) < -0.05
    assert {
        found[3][name] for name in ("mean", "estimate", "p_value", "significant", "probability_better")
    } == {""}


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-0.5", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0"],
)
def test_formulas_are_texts_wherever_they_stand(name):
    arms = [arm("a", control=True, aggregates=visits(1000, 90)), arm(name, aggregates=visits(1000, 150))]
    made = report(arms, metrics=(VISIT,), plan=AnalysisPlan()).to_json()
    made["experiment"] = made["metrics"][0]["metric"] = name
    for cell in (found := rows(made)[1])["variant"], found["experiment"], found["metric"]:
        assert cell == "'" + name
    assert not [
        cell
        for row in rows(made)
        for cell in row.values()
        if cell[:1] in tuple("=+-@\t\r") and not cell.lstrip("-")[:1].isdigit()
    ]


def test_names_with_commas_quotes_and_lines_are_one_cell():
    name = 'a,"b"\nc;d'
    arms = [arm(name, control=True, aggregates=visits(1000, 90)), arm("b", aggregates=visits(1000, 150))]
    assert [row["variant"] for row in rows(report(arms).to_json())] == [name, "b"]


def test_effects_by_factor_and_per_user_reached_are_rows_and_columns():
    reached = {
        name: Aggregate(n=1000, mean=0.1, variance=0.09, mean_d=d, variance_d=d * (1 - d), covariance_yd=0.0)
        for name, d in (("silence", 0.0), ("sent", 0.8))
    }
    levels = [("a", "am"), ("a", "pm"), ("b", "am"), ("b", "pm")]
    arms = [
        arm("silence", control=True, aggregates=visits(1000, 100), compliance={"visit": reached["silence"]}),
        *(
            arm(
                f"{text}.{hour}", aggregates=visits(1000, 100), levels={"text": text, "hour": hour},
                compliance={"visit": reached["sent"]},
            )
            for text, hour in levels
        ),
    ]  # fmt: skip
    factors = (FactorSpec(key="text", levels=("a", "b")), FactorSpec(key="hour", levels=("am", "pm")))
    body = report(arms, factors=factors).to_json()
    assert body["metrics"][0]["effects"][0]["cace"] is not None
    same_in_the_table(body)
    found = rows(body)
    assert [row["row"] for row in found] == ["variant"] * 5 + ["main"] * 2 + ["interaction"]
    assert [(row["factor"], row["level"], row["against"]) for row in found[5:]] == [
        ("text", "b", "a"), ("hour", "pm", "am"), ("text x hour", "b x pm", "a x am"),
    ]  # fmt: skip
    assert {row["variant"] for row in found[5:]} == {""}
    assert float(found[1]["cace_estimate"]) == body["metrics"][0]["effects"][0]["cace"]["estimate"]
    assert (found[0]["cace_estimate"], found[1]["n_control"]) == ("", "1000")


def test_columns_are_only_ever_added_at_the_end():
    assert COLUMNS[:3] == ("experiment", "as_of", "method")
    assert COLUMNS[28:] == (
        "decision_variant", "row", "cace_estimate", "cace_lower", "cace_upper", "factor", "level", "against", "by", "slice",
        "n_control",
    )  # fmt: skip


def test_levels_and_slices_are_texts_too():
    body = report(two(150, 100)).to_json()
    effect = body["metrics"][0]["effects"][0]
    one = {"slice": "=1+1", "n": 7, "n_control": 8, "effect": effect, "reasons": []}
    segments = {"by": "@country", "metrics": [{**body["metrics"][0], "slices": [one]}]}
    (row,) = [
        row
        for row in csv.DictReader(StringIO(render_csv(body, segments=segments), newline=""))
        if row["row"] == "slice"
    ]
    assert (row["slice"], row["by"], row["n"], row["n_control"]) == ("'=1+1", "'@country", "7", "8")
