"""`analyze_file` on real files: what it reads, what it refuses, and how it says so."""

import gzip
import json
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from analysis.files.files import analyze_file
from analysis.stats.difference import absolute, difference
from analysis.stats.quantiles import Quantile, quantile_difference
from experiments.clock import SteppedClock
from experiments.errors import Invalid
from tests.unit.analysis.test_aggregates import of_values

OPTIONS = {"variant": "arm", "control": "A", "metrics": ["spend=mean:spend"]}
ROWS = [("A", 1, 0.0), ("A", 0, 2.5), ("B", 1, 3.0), ("B", 1, 0.5)] * 30


def write(path, rows=ROWS, header="arm,visit,spend", newline="\n"):
    path.write_text(newline.join([header, *(",".join(str(cell) for cell in row) for row in rows)]) + newline)
    return path


def effect(report, metric=0, variant=0):
    return report.metrics[metric].effects[variant]


def refusal(path, **options):
    with pytest.raises(Invalid) as caught:
        analyze_file(path, **{**OPTIONS, **options})
    return str(caught.value)


def test_csv_parquet_and_gzip_say_the_same(tmp_path):
    plain = write(tmp_path / "orders.csv")
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    columnar = tmp_path / "orders.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_csv('{plain}')) TO '{columnar}' (FORMAT parquet)")
    semicolons = write(
        tmp_path / "orders.tsv", [["\t".join(map(str, row))] for row in ROWS], "arm\tvisit\tspend"
    )
    clock = SteppedClock(datetime(2026, 12, 1, tzinfo=UTC))
    options = {
        **OPTIONS,
        "metrics": ["visit=proportion:visit", "spend=mean:spend", "r=ratio:spend/visit"],
        "clock": clock,
    }
    made = [
        analyze_file(path, **options).to_json() | {"experiment": ""}
        for path in (plain, packed, columnar, semicolons)
    ]
    assert made[0] == made[1] == made[2] == made[3]
    assert made[0]["as_of"] == "2026-12-01T00:00:00Z"
    assert made[0]["method"] == "fixed"
    json.dumps(made[0], allow_nan=False)


def test_rows_of_a_unit_are_summed_and_wanderers_left_out(tmp_path):
    rng = np.random.default_rng(41)
    rows, totals = [], {"A": [], "B": []}
    for user in range(400):
        arm = "AB"[user % 2]
        values = rng.exponential(2, rng.integers(1, 5)).round(3)
        visits = rng.integers(0, 2, values.size)
        rows += [
            (user, arm, visit, value, 7.5 + user % 3) for visit, value in zip(visits, values, strict=True)
        ]
        totals[arm].append((values.sum(), values.size, visits.max(), 7.5 + user % 3))
    rows += [(1000 + i, arm, 1, 50.0, 0.0) for i in range(8) for arm in "AB"]
    rows += [("", "A", 1, 9.0, 0.0)] * 3
    path = write(tmp_path / "rows.csv", [(*row, 1) for row in rows], "user,arm,visit,spend,before,one")
    report = analyze_file(
        path, variant="arm", control="A", unit="user", covariates=["spend=before"],
        metrics=["spend=mean:spend", "per=ratio:spend/one", "visit=proportion:visit"],
    )  # fmt: skip
    a, b = (np.array(totals[arm]) for arm in "AB")
    found = effect(report)
    expected = absolute(difference(of_values(a[:, 0], x=a[:, 3]), of_values(b[:, 0], x=b[:, 3])), 0.05)
    assert (found.absolute.lower, found.absolute.upper) == pytest.approx(
        (expected.lower, expected.upper), rel=1e-9
    )
    ratio = absolute(difference(of_values(a[:, 0], a[:, 1]), of_values(b[:, 0], b[:, 1])), 0.05)
    assert effect(report, 1).absolute.upper == pytest.approx(ratio.upper, rel=1e-9)
    assert effect(report, 2).absolute.estimate == pytest.approx(b[:, 2].mean() - a[:, 2].mean())
    assert [arm.assigned for arm in report.arms] == [200, 200]
    exposures = next(check for check in report.health if check.check == "multiple_exposures")
    assert not exposures.ok
    assert "8 units" in exposures.detail
    assert report.decision.rule == "health"
    assert any("3 rows name no unit" in warning for warning in report.warnings)


def test_a_quantile_is_that_of_the_rows(tmp_path):
    rng = np.random.default_rng(42)
    a, b = rng.exponential(1, 3000), rng.exponential(1.4, 3000)
    path = write(tmp_path / "wait.csv", [*(("A", v) for v in a), *(("B", v) for v in b)], "arm,wait")
    found = effect(analyze_file(path, variant="arm", control="A", metrics=["p=quantile:wait@0.9"]))
    expected = absolute(quantile_difference(Quantile.from_values(a, 0.9), Quantile.from_values(b, 0.9)), 0.05)
    assert (found.absolute.lower, found.absolute.upper) == pytest.approx(
        (expected.lower, expected.upper), rel=1e-9
    )


def test_a_quantile_of_clustered_rows_has_a_wider_interval(tmp_path):
    rng = np.random.default_rng(43)
    rows = []
    for user in range(600):
        level = rng.exponential(1)
        rows += [(user, "AB"[user % 2], level + 0.01 * rng.random()) for _ in range(10)]
    path = write(tmp_path / "wait.csv", rows, "user,arm,wait")
    options = {"variant": "arm", "control": "A", "metrics": ["m=quantile:wait"]}
    wide, narrow = (effect(analyze_file(path, unit=unit, **options)).absolute for unit in ("user", None))
    assert wide.estimate == narrow.estimate
    # 10 copies of each user's value carry the information of one: the interval is sqrt(10) times as wide
    assert 2.3 < (wide.upper - wide.lower) / (narrow.upper - narrow.lower) < 4.2


def test_too_few_rows_for_a_tail_is_a_reason(tmp_path):
    report = analyze_file(
        write(tmp_path / "few.csv"), variant="arm", control="A", metrics=["p=quantile:spend@0.999"]
    )
    assert effect(report).absolute is None
    assert any("too few for an interval of the 0.999 quantile" in warning for warning in report.warnings)


def test_names_may_be_anything(tmp_path):
    rows = [('"A""; drop table typed;--"', 1), ("B'", 0)] * 40
    path = write(tmp_path / "odd ' name.csv", rows, '"the ""arm""",select * from')
    report = analyze_file(
        path, variant='the "arm"', control='A"; drop table typed;--', metrics=["x=proportion:select * from"]
    )
    assert effect(report).absolute.estimate == -1.0
    assert report.experiment == "odd ' name.csv"


def test_windows_line_ends_byte_order_marks_and_doubled_names(tmp_path):
    path = tmp_path / "windows.csv"
    write(path, header="arm,visit,spend", newline="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    plain = effect(analyze_file(write(tmp_path / "orders.csv"), **OPTIONS))
    assert effect(analyze_file(path, **OPTIONS)) == plain
    doubled = write(tmp_path / "doubled.csv", header="arm,spend,Spend")
    assert effect(analyze_file(doubled, variant="arm", control="A", metrics=["spend=mean:Spend_1"])) == plain


def test_words_for_truth_are_numbers_in_a_proportion(tmp_path):
    rows = [("A", "true"), ("A", "False"), ("B", "1"), ("B", "TRUE")] * 20
    report = analyze_file(
        write(tmp_path / "words.csv", rows, "arm,visit"),
        variant="arm",
        control="A",
        metrics=["v=proportion:visit"],
    )
    assert [arm.mean for arm in report.metrics[0].arms] == [0.5, 1.0]


def test_values_that_are_all_equal_cannot_be_told(tmp_path):
    report = analyze_file(write(tmp_path / "flat.csv", [("A", 1, 0.1), ("B", 1, 0.1)] * 5000), **OPTIONS)
    assert effect(report).p_value is None
    assert report.decision.action == "inconclusive"


def test_a_large_offset_costs_no_digits(tmp_path):
    rng = np.random.default_rng(44)
    values = rng.normal(0, 1, 400)
    near, far = (
        write(
            tmp_path / f"{offset}.csv", [("AB"[i % 2], 1, f"{offset + v:.6f}") for i, v in enumerate(values)]
        )
        for offset in (0, 1_000_000_000)
    )
    a, b = (effect(analyze_file(path, **OPTIONS)).absolute for path in (near, far))
    assert b.upper - b.lower == pytest.approx(a.upper - a.lower, rel=1e-6)


def test_the_designed_shares_may_be_given(tmp_path):
    rows = [("A", 1, i % 7) for i in range(900)] + [("B", 1, i % 7) for i in range(100)]
    path = write(tmp_path / "skewed.csv", rows)
    assumed = analyze_file(path, **OPTIONS)
    assert not assumed.health[0].ok
    assert any("equal shares" in warning for warning in assumed.warnings)
    assert analyze_file(path, **OPTIONS, weights={"A": 0.9, "B": 0.1}).health[0].ok


@pytest.mark.parametrize("method", ["fixed", "always_valid", "spending", "exact"])
def test_every_method_is_offered(tmp_path, method):
    report = analyze_file(write(tmp_path / "orders.csv"), **OPTIONS, method=method)
    assert report.method == method
    assert report.decision.action != "continue"  # nothing more will come


def test_a_missing_or_unreadable_file(tmp_path):
    assert "FILE" in refusal(tmp_path / "absent.csv")
    assert "does not exist" in refusal(tmp_path / "absent.csv")
    assert "is not a file" in refusal(tmp_path)
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert "is empty" in refusal(empty)
    assert "has no rows" in refusal(write(tmp_path / "header.csv", []))
    assert "neither CSV nor Parquet" in refusal(write(tmp_path / "orders.xlsx"))
    assert "FILE: fake.parquet cannot be read" in refusal(write(tmp_path / "fake.parquet"))
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(256)) * 20)
    assert "FILE" in refusal(binary)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("arm,visit,spend\nA,1,2\nB,1,naïve\n".encode("latin-1"))
    assert "not UTF-8" in refusal(latin)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(b"not gzip at all")
    assert "FILE" in refusal(broken)
    ragged = write(tmp_path / "ragged.csv", [*ROWS, ("A", 1, 2, 3, 4)])
    assert "FILE: ragged.csv cannot be read" in refusal(ragged)


BAD_VALUES = {
    "text in a mean": ("spend=mean:spend", ("A", 1, "many"), "spend: cannot be told: column 'spend' holds 'many' in 1 row"),
    "NaN in a mean": ("spend=mean:spend", ("A", 1, "NaN"), "holds 'NaN' in 1 row that should hold a finite number"),
    "infinity": ("spend=mean:spend", ("A", 1, "inf"), "a finite number"),
    "nothing in a mean": ("spend=mean:spend", ("A", 1, ""), "is empty in 1 row"),
    "2 in a proportion": ("visit=proportion:visit", ("A", 2, 1), "visit: cannot be told: column 'visit' holds '2' in 1 row that should hold 0, 1, true or false"),
    "a share in a proportion": ("visit=proportion:visit", ("A", 0.5, 1), "0, 1, true or false"),
    "nothing in a proportion": ("visit=proportion:visit", ("A", "", 1), "visit: cannot be told: column 'visit' is empty"),
    "truth in a mean": ("visit=mean:visit", ("A", "true", 1), "holds 'true'"),
    "text in a denominator": ("r=ratio:spend/visit", ("A", "x", 1), "r: cannot be told: column 'visit' holds 'x'"),
    "text in a quantile": ("q=quantile:spend", ("A", 1, "x"), "q: cannot be told"),
}  # fmt: skip


@pytest.mark.parametrize(("metric", "row", "said"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_named_wherever_it_is(tmp_path, metric, row, said):
    rows = [*ROWS * 300, row]  # beyond what a sniffer would sample
    report = analyze_file(write(tmp_path / "bad.csv", rows), **{**OPTIONS, "metrics": [metric]})
    assert effect(report).absolute is None
    assert any(said in warning for warning in report.warnings), report.warnings


def test_wrong_options_are_named(tmp_path):
    path = write(tmp_path / "orders.csv")
    assert refusal(path, variant="amr") == "--variant: the file has no column 'amr'; did you mean arm?"
    assert refusal(path, unit="user").startswith("--unit: the file has no column 'user'")
    assert refusal(path, control="C") == "--control: no row of column 'arm' is 'C'; its values are: A, B"
    assert "did you mean A?" in refusal(path, control="a")
    assert "--method" in refusal(path, method="sometimes")
    assert "--alpha" in refusal(path, alpha=1.5)
    assert "only one value" in refusal(write(tmp_path / "one.csv", [("A", 1, 2)] * 5))
    many = write(tmp_path / "many.csv", [(i, 1, 2) for i in range(200)])
    assert "does not name variants" in refusal(many, variant="arm", control="1")
    nobody = write(tmp_path / "nobody.csv", [("", 1, 2)] * 5)
    assert "empty in every row" in refusal(nobody)


def test_rows_without_a_variant_are_counted(tmp_path):
    path = write(tmp_path / "some.csv", [*ROWS, ("", 1, 2)])
    report = analyze_file(path, **OPTIONS)
    assert any("1 rows name no variant" in warning for warning in report.warnings)
    assert sum(arm.assigned for arm in report.arms) == len(ROWS)
