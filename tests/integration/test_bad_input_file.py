"""`analyze` on bad files: every way they are bad x every method x every kind, as CSV and as Parquet. Never a crash, never a guess."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy.stats import chisquare

from analysis.files.files import analyze_file, read_file
from experiments.errors import Invalid
from experiments.vocabulary import Method
from tests.integration.alike import assert_alike
from tests.integration.command_line import CommandLine
from tests.integration.honest import judged, same_in_the_table

METRICS = [
    "bought=proportion:bought", "came=retention:came", "spend=mean:spend", "total=sum:spend", "orders=count:orders",
    "each=ratio:spend/orders", "median=quantile:spend", "tail=quantile:spend@0.995",
]  # fmt: skip
OF_SPEND = ("spend", "total", "each", "median", "tail")
ALL = ("bought", "came", *OF_SPEND, "orders")
OPTIONS: dict[str, Any] = {
    "variant": "arm", "control": "A", "metrics": METRICS, "covariates": ["spend=past", "each=past"],
    "secondary": ["total", "orders", "each", "median", "tail"], "guardrails": ["came=0.1"], "caps": ["total=99%"],
}  # fmt: skip
Row = dict[str, Any]


def rows(users: int = 240) -> list[Row]:
    rng = np.random.default_rng(11)
    made: list[Row] = []
    for user in range(users):
        past = round(float(rng.gamma(2, 10)), 2)
        made.append(
            {
                "user": user, "arm": "AB"[user % 2], "country": ("NL", "BR", "US")[user % 3],
                "bought": int(rng.random() < 0.3), "came": int(rng.random() < 0.6),
                "spend": round(past + float(rng.gamma(2, 5)), 2), "orders": int(rng.integers(1, 4)), "past": past,
            }
        )  # fmt: skip
    return made


def each(**changes: Any) -> list[Row]:
    """Every row changed: by a value, or by what a function makes of the row."""
    made = rows()
    return [
        {**row, **{name: new(row) if callable(new) else new for name, new in changes.items()}} for row in made
    ]


def one(column: str, value: Any, *, at: int = 3) -> list[Row]:
    made = rows()
    made[at][column] = value
    return made


def in_control(row: Row, name: str, value: Any) -> Any:
    return value if row["arm"] == "A" else row[name]


@dataclass(frozen=True)
class Bad:
    """rows: of the file. untold: metric -> a word of the reason. says: what must be among the warnings."""

    rows: Callable[[], list[Row]]
    untold: dict[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def of_spend(reason: str, **more: str | None) -> dict[str, str]:
    """None: it can be told all the same."""
    wanted = {**dict.fromkeys(OF_SPEND, reason), **more}
    return {name: said for name, said in wanted.items() if said is not None}


NO_TAIL = {"tail": "too few for an interval of the 0.995 quantile"}
SAME = {
    "bought": "every outcome is the same", "came": "every outcome is the same", "spend": "no outcome varies", "total": "no outcome varies",
    "orders": "no outcome varies", "median": "tied", "tail": "too few",
}  # fmt: skip
BAD: dict[str, Bad] = {
    "nothing is wrong": Bad(rows, NO_TAIL),
    "an arm without users": Bad(
        rows, {}, ("C has no users", "bought, C against A: "), {"weights": {"A": 1, "B": 1, "C": 1}}
    ),
    "a variant unknown to the design": Bad(
        lambda: [*rows(), {**rows()[0], "user": 999, "arm": "ghost"}],
        {}, ("1 users are in 'ghost', whose weight is 0",), {"weights": {"A": 1, "B": 1}},
    ),
    "a control without users": Bad(
        lambda: [row for row in rows() if row["arm"] == "B"],
        dict.fromkeys(ALL, ""), ("A has no users",), {"weights": {"A": 1, "B": 1}},
    ),
    "rows without a variant": Bad(
        lambda: [*rows(), {**rows()[0], "user": 999, "arm": "", "spend": "x"}], NO_TAIL, ("1 rows name no variant",)
    ),
    "rows without a user": Bad(
        lambda: [*rows(), {**rows()[0], "user": "", "spend": ""}], NO_TAIL, ("1 rows name no unit",), {"unit": "user"}
    ),
    "a user in two variants": Bad(
        lambda: [*rows(), {**rows()[0], "arm": "B"}],
        NO_TAIL, ("1 units (0.42%) are in more than one variant and are left out",), {"unit": "user"},
    ),
    "every outcome 0": Bad(
        lambda: each(bought=0, came=0, spend=0, orders=0), {**SAME, "each": "the denominator is 0"}
    ),
    "every outcome the same": Bad(
        lambda: each(bought=1, came=1, spend=7, orders=7, past=7), {**SAME, "each": "no outcome varies"}
    ),
    "one user with nearly all": Bad(lambda: one("spend", 90_000), NO_TAIL, ("spend, B: one user holds ",)),
    "control mean 0": Bad(
        lambda: each(
            spend=lambda row: in_control(row, "spend", 0), orders=lambda row: in_control(row, "orders", 0),
            bought=lambda row: in_control(row, "bought", 0),
        ),
        {"each": "the denominator is 0", "tail": ""},
        ("spend, B against A: the control mean is 0", "bought, B against A: the control mean is 0"),
    ),
    "negative revenue": Bad(
        lambda: each(spend=lambda row: -row["spend"]), NO_TAIL, ("spend, B against A: the control mean is negative",)
    ),
    "NaN": Bad(lambda: one("spend", "NaN"), of_spend("column 'spend' holds 'NaN' in 1 row")),
    "infinity": Bad(lambda: one("spend", "inf"), of_spend("holds 'inf' in 1 row that should hold a finite number")),
    "minus infinity": Bad(lambda: one("spend", "-inf"), of_spend("holds '-inf' in 1 row")),
    "an empty cell": Bad(lambda: one("spend", ""), of_spend("column 'spend' is empty in 1 row")),
    "a blank cell": Bad(lambda: one("spend", "  "), of_spend("column 'spend' is empty in 1 row")),
    "only empty cells": Bad(lambda: each(spend=""), of_spend("is empty in 240 rows")),
    "only NaN": Bad(lambda: each(spend="nan"), of_spend("holds 'nan' in 240 rows")),
    "text among numbers": Bad(lambda: one("spend", "many"), of_spend("holds 'many' in 1 row")),
    "an empty and a wrong one": Bad(
        lambda: [*one("spend", "many"), {**rows()[0], "user": 999, "spend": ""}],
        of_spend("holds 'many' in 1 row that should hold a finite number, and is empty in 1 row"),
    ),
    "2 in a proportion": Bad(lambda: one("bought", 2), {"bought": "holds '2' in 1 row that should hold 0, 1, true or false"}),
    "a hole in a covariate": Bad(
        lambda: one("past", ""), NO_TAIL, ("spend: not adjusted by 'past': column 'past' is empty in 1 row",)
    ),
    "a wrong mark of who was reached": Bad(
        lambda: each(got=lambda row: row["user"]), {}, ("bought: no effect per user reached: column 'got' holds ",), {"reached": "got"}
    ),
    # A sum with a cap does not mind.
    "too large to add up": Bad(lambda: one("spend", "1e308"), of_spend("", median=None, total=None)),
    "all too large": Bad(lambda: each(spend="1e308", past="1e308"), of_spend("", median="tied")),
    "too large for a square": Bad(
        lambda: each(spend=lambda row: f"{row['spend']}e200", past=lambda row: f"{row['past']}e200"), of_spend("", median="")
    ),
    "too small for a square": Bad(lambda: each(spend=lambda row: f"{row['spend']}e-300"), of_spend("", median=None)),
    "one row an arm": Bad(lambda: rows(2), {**dict.fromkeys(ALL, ""), "spend": "only one user"}, ("srm at assigned: cannot tell",)),
    "a metric whose event never happened": Bad(lambda: each(bought=0), {"bought": "every outcome is the same"}),
}  # fmt: skip


def written(folder: Path, made: list[Row], *, parquet: bool) -> Path:
    names = list(made[0])
    plain = folder / "bad.csv"
    plain.write_text(
        "\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in made)]) + "\n"
    )
    if not parquet:
        return plain
    columnar = folder / "bad.parquet"
    duckdb.sql(
        f"COPY (SELECT * FROM read_csv('{plain}', all_varchar = false, header = true, null_padding = false)) "
        f"TO '{columnar}' (FORMAT parquet)"
    )
    return columnar


@pytest.mark.parametrize("parquet", [False, True], ids=["csv", "parquet"])
@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path: Path, case: str, parquet: bool, subtests: pytest.Subtests) -> None:
    bad = BAD[case]
    path = written(tmp_path, bad.rows(), parquet=parquet)
    # The rows are sums by the time that a method sees them, whatever file they are from.
    for method in [Method.FIXED] if parquet else Method:
        with subtests.test(method.value):
            body = judged(analyze_file(path, **{**OPTIONS, **bad.options}, method=method).to_json())
            for said in bad.says:
                assert any(said in warning for warning in [*body["warnings"]]), (said, body["warnings"])
            for metric in body["metrics"]:
                name = metric["metric"]
                for effect in metric["effects"]:
                    if effect["variant"] in ("C", "ghost"):
                        assert not effect["significant"]
                        assert effect["p_value"] is None or effect["variant"] == "ghost"
                    elif name in bad.untold:
                        assert effect["p_value"] is None, name
                        reason = bad.untold[name]
                        assert any(
                            w.startswith((f"{name}: ", f"{name}, ")) and reason.lower() in w.lower()
                            for w in body["warnings"]
                        ), name
                    elif name not in NO_TAIL:
                        assert effect["p_value"] is not None, name


def test_who_is_in_which_arm_is_told_although_an_outcome_is_not(tmp_path: Path) -> None:
    made = analyze_file(written(tmp_path, one("spend", "NaN"), parquet=False), **OPTIONS)
    assert [arm.assigned for arm in made.arms] == [120, 120]
    assert next(metric for metric in made.metrics if metric.metric == "bought").arms[1].n == 120


def test_a_covariate_with_holes_adjusts_nothing_and_the_others_still_do(tmp_path: Path) -> None:
    made = [{**row, "more": row["spend"] + row["user"] % 7} for row in one("past", "")]
    path = written(tmp_path, made, parquet=False)
    options = {"variant": "arm", "control": "A", "metrics": ["spend=mean:spend"]}
    kept, alone, none = (
        analyze_file(path, **options, covariates=names).metrics[0].effects[0]
        for names in (["spend=past", "spend=more"], ["spend=more"], ["spend=past"])
    )
    assert kept == alone
    assert kept.variance_reduction is not None
    assert kept.variance_reduction > 0.5
    assert not none.variance_reduction


@pytest.mark.parametrize(
    ("made", "options", "says"),
    [
        (each(spend="a lot"), {}, "--metric spend: column 'spend' holds 'a lot' in 240 rows"),
        (each(past="old"), {}, "--covariate spend: column 'past' holds 'old'"),
        (each(got="maybe"), {"reached": "got"}, "--reached: column 'got' holds 'maybe'"),
        (
            rows(),
            {"metrics": ["spend=mean:spnd"]},
            "--metric spend: the file has no column 'spnd'; did you mean spend?",
        ),
        (rows(), {"control": "Z"}, "--control: no row of column 'arm' is 'Z'"),
        (rows(), {"by": "land"}, "--by: the file has no column 'land'"),
        (rows()[:1], {}, "--variant: column 'arm' has only one value"),
        (
            each(arm=lambda row: f"v{row['user'] % 51}"),
            {"control": "v0"},
            "has more than 50 different values",
        ),
        (rows(), {"looks": [3]}, "--look: a share"),
        (rows(), {"planned": 0}, "--planned: is a number of units, not 0"),
        (rows(), {"planned": 9, "looks": [-1]}, "--look: is a number of units, not -1"),
        (rows(), {"mde": float("nan")}, "--mde: is a lift above 0"),
    ],
)
def test_what_must_be_a_slip_of_the_pen_is_refused(
    tmp_path: Path, made: list[Row], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        analyze_file(written(tmp_path, made, parquet=False), **{**OPTIONS, **options})
    assert says in str(refused.value)


def test_fifty_arms(tmp_path: Path) -> None:
    made = [{**row, "arm": f"v{row['user'] % 50:02d}"} for row in rows(6000)]
    path = written(tmp_path, made, parquet=False)
    body = judged(
        analyze_file(
            path,
            **{
                **OPTIONS,
                "control": "v00",
                "metrics": METRICS[:3],
                "caps": [],
                "secondary": [],
                "covariates": [],
            },
        ).to_json()
    )
    effects = [effect for metric in body["metrics"][::2] for effect in metric["effects"]]
    assert len(effects) == 98
    # One family of 98: Holm's first step multiplies the smallest p by all of them.
    smallest = min(effects, key=lambda effect: effect["p_value"])
    assert smallest["adjusted_p_value"] == pytest.approx(min(1, 98 * smallest["p_value"]))
    srm = body["health"][0]
    assert srm["ok"]
    assert "the other 42 lie nearer" in srm["detail"]
    skewed = [row for row in made if row["arm"] not in {"v33", "v34"} or row["user"] % 200 in {33, 34}]
    worse = analyze_file(
        written(tmp_path, skewed, parquet=False), variant="arm", control="v00", metrics=METRICS[:1]
    )
    assert not worse.health[0].ok
    assert worse.health[0].p_value == pytest.approx(chisquare([120] * 48 + [30] * 2).pvalue)
    assert worse.health[0].detail.startswith("v33 30, v34 30, ")


def test_byte_order_mark_windows_lines_and_cells_of_two_lines(tmp_path: Path) -> None:
    names = [*rows()[0], "note"]
    lines = [[*map(str, row.values()), '"said ""yes"",\r\nthen no"'] for row in rows()]
    path = tmp_path / "windows.csv"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + "\r\n".join([",".join(names), *(",".join(line) for line in lines)]).encode()
        + b"\r\n"
    )
    plain = written(tmp_path, rows(), parquet=False)
    assert_alike(analyze_file(path, **OPTIONS).metrics, analyze_file(plain, **OPTIONS).metrics)


def test_an_arm_that_had_nothing_in_a_slice_has_no_lift(tmp_path: Path) -> None:
    """The mean of zeros is 0 to the last digit, whatever the mean of all users is that sums are taken from."""
    made = [
        {**row, "spend": 0 if row["country"] == "NL" and row["arm"] == "A" else row["spend"] / 7}
        for row in rows(1800)
    ]
    read = read_file(
        written(tmp_path, made, parquet=False),
        variant="arm",
        control="A",
        metrics=["spend=mean:spend"],
        by="country",
    )
    found = read.segments()
    assert found is not None
    dutch = next(each for each in found.metrics[0].slices if each.slice == "NL")
    assert dutch.effect.relative is None
    assert dutch.effect.absolute is not None
    assert "the control mean is 0, so there is no relative lift" in dutch.reasons
    same_in_the_table(read.inputs.report().to_json(), found.to_json())


def test_the_command_says_it_in_one_line_or_in_the_report(touchstone: CommandLine, tmp_path: Path) -> None:
    written(tmp_path, one("spend", "NaN"), parquet=False)
    command = ("analyze", "bad.csv", "--variant", "arm", "--control", "A", "--metric", "spend=mean:spend")
    run = touchstone(*command, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    body = json.loads(run.stdout)
    assert body["metrics"][0]["effects"][0]["absolute"] is None
    assert "spend: cannot be told: column 'spend' holds 'NaN' in 1 row" in touchstone(
        *command
    ).stdout.replace("\n", " ")
    assert "--metric arms" in touchstone.fails(*command[:-1], "arms=mean:arm")
