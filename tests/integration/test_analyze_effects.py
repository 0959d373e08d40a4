"""`analyze` on files: several covariates, the effect per user reached, effects by factor."""

import numpy as np
import pytest
import statsmodels.api as sm
from typer.testing import CliRunner

from analysis.files.files import analyze_file
from api.cli import app
from experiments.errors import Invalid
from tests.integration.alike import assert_alike
from tests.reference.test_covariates import interacted
from tests.reference.test_iv import two_stage

HEADER = "user,arm,hour,text,got,bought,spend,past,visits,age"
ARMS = ("silence", "plain.am", "plain.pm", "coupon.am", "coupon.pm")
METRICS = ["bought=proportion:bought", "spend=mean:spend"]
N = 1500


@pytest.fixture(scope="module")
def users():
    rng = np.random.default_rng(3)
    arm = np.array(ARMS)[np.arange(N) % 5]
    past, visits, age = rng.gamma(2, 10, N), rng.poisson(4, N), rng.integers(18, 70, N)
    got = (arm != "silence") & (rng.random(N) < 0.8)
    coupon, pm = np.char.startswith(arm, "coupon"), np.char.endswith(arm, "pm")
    spend = np.round(
        past + 2 * visits + 3 * got + 5 * (coupon & got) + 2 * (pm & got) + rng.normal(0, 6, N), 3
    )
    bought = (rng.random(N) < 0.3 + 0.2 * got).astype(int)
    return {
        "user": np.arange(N), "arm": arm, "hour": np.where(arm == "silence", "", np.where(pm, "pm", "am")),
        "text": np.where(arm == "silence", "", np.where(coupon, "coupon", "plain")), "got": got.astype(int),
        "bought": bought, "spend": spend, "past": np.round(past, 3), "visits": visits, "age": age,
    }  # fmt: skip


@pytest.fixture
def path(users, tmp_path):
    file = tmp_path / "campaign.csv"
    rows = zip(*(users[name] for name in HEADER.split(",")), strict=True)
    file.write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return file


def analyse(path, **options):
    return analyze_file(path, **{"variant": "arm", "control": "silence", "metrics": METRICS, **options})


def of(report, variant, metric=1):
    return report.metrics[metric].effect_of(variant)


def test_several_covariates_are_one_regression(path, users):
    said = analyse(path, covariates=["spend=past", "spend=visits", "spend=age"], metrics=METRICS)
    x = np.column_stack([users[name] for name in ("past", "visits", "age")]).astype(float)
    centre = x.mean(axis=0)
    fits = {}
    for variant in ("silence", "coupon.pm"):
        mine = users["arm"] == variant
        fits[variant] = sm.OLS(
            users["spend"][mine], np.column_stack([np.ones(mine.sum()), x[mine] - centre])
        ).fit()
    found = of(said, "coupon.pm")
    expected = fits["coupon.pm"].params[0] - fits["silence"].params[0]
    error = np.hypot(fits["coupon.pm"].bse[0], fits["silence"].bse[0])
    assert found.absolute.estimate == pytest.approx(expected, rel=1e-9)
    assert found.absolute.upper - expected == pytest.approx(1.964 * error, rel=1e-3)
    assert (
        found.variance_reduction
        > of(analyse(path, covariates=["spend=past"]), "coupon.pm").variance_reduction
    )
    assert found.variance_reduction > 0.8
    assert of(said, "coupon.pm", metric=0).variance_reduction == 0


def test_of_two_arms_it_is_lins_estimate(path, users, tmp_path):
    pair = tmp_path / "pair.csv"
    lines = path.read_text().splitlines()
    pair.write_text(
        "\n".join([lines[0], *(line for line in lines[1:] if line.split(",")[1] in {"silence", "coupon.am"})])
    )
    found = of(analyse(pair, covariates=["spend=past", "spend=age"]), "coupon.am")
    arms = [
        (users["spend"][mine], np.column_stack([users["past"], users["age"]])[mine].astype(float))
        for mine in (users["arm"] == "silence", users["arm"] == "coupon.am")
    ]
    fit = interacted(arms).fit(cov_type="HC2")
    assert found.absolute.estimate == pytest.approx(fit.params[1], rel=1e-9)
    assert (found.absolute.upper - found.absolute.estimate) / (1.96 * fit.bse[1]) == pytest.approx(
        1, abs=0.05
    )


def test_the_effect_per_user_reached_is_two_stage_least_squares(path, users):
    said = analyse(path, reached="got")
    pair = np.isin(users["arm"], ("silence", "coupon.am"))
    for metric, column in enumerate(("bought", "spend")):
        found = of(said, "coupon.am", metric)
        beta, error = two_stage(
            users[column][pair].astype(float),
            users["got"][pair].astype(float),
            (users["arm"][pair] == "coupon.am").astype(float),
        )
        assert found.cace.estimate == pytest.approx(beta, rel=1e-9)
        assert found.cace.upper - beta == pytest.approx(1.96 * error, rel=0.01)
    assert any("takes for granted" in note for note in said.notes)
    adjusted = of(analyse(path, reached="got", covariates=["spend=past"]), "coupon.am")
    share = users["got"][users["arm"] == "coupon.am"].mean()
    assert adjusted.cace.estimate * share == pytest.approx(adjusted.absolute.estimate, rel=1e-9)
    assert of(analyse(path), "coupon.am").cace is None


def test_several_rows_of_a_user_reached_once_are_a_user_reached(path, users, tmp_path):
    doubled = tmp_path / "doubled.csv"
    lines = path.read_text().splitlines()
    missed = [",".join([*line.split(",")[:4], "0", "0", "0", *line.split(",")[7:]]) for line in lines[1:]]
    doubled.write_text("\n".join([*lines, *missed]))
    once, twice = analyse(path, reached="got"), analyse(doubled, reached="got", unit="user")
    for metric in (0, 1):
        assert of(twice, "plain.am", metric).cace.estimate == pytest.approx(
            of(once, "plain.am", metric).cace.estimate, rel=1e-9
        )


def test_factors_of_a_file_are_analysed(path, users):
    said = analyse(path, factors=["text=text", "hour=hour"])
    main = said.metrics[1].factors[0]
    means = {arm: users["spend"][users["arm"] == arm].mean() for arm in ARMS}
    expected = (means["coupon.am"] + means["coupon.pm"] - means["plain.am"] - means["plain.pm"]) / 2
    # The first level is the smallest by name where the control stands outside the crossing.
    assert (main.factors, main.levels, main.against) == (("text",), ("plain",), ("coupon",))
    assert main.absolute.estimate == pytest.approx(-expected, rel=1e-9)
    inside = analyse(path, factors=["text=text", "hour=hour"], control="plain.pm")
    assert inside.metrics[1].factors[0].against == ("plain",)
    assert inside.metrics[1].factors[1].against == ("pm",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reached": "gott"}, "--reached: the file has no column 'gott'; did you mean got?"),
        ({"reached": "text"}, "--reached: column 'text' holds"),
        ({"factors": ["text"]}, "--factor: write NAME=COLUMN"),
        ({"factors": ["text=txt"]}, "--factor: the file has no column 'txt'"),
        ({"factors": ["text=text", "text=hour"]}, "--factor: 'text' is used twice"),
        ({"factors": ["age=age"]}, "has several values in column 'age'"),
        ({"covariates": ["spend=past", "spend=past"]}, "--covariate spend: column 'past' is given twice"),
        (
            {"covariates": ["r=past", "r=age"], "metrics": ["r=ratio:spend/visits"]},
            "a ratio takes one covariate",
        ),
        ({"covariates": ["spend=hour", "spend=past"]}, "--covariate spend: column 'hour'"),
    ],
)
def test_a_mistake_is_named(path, options, words):
    with pytest.raises(Invalid) as refused:
        analyse(path, **options)
    assert words in str(refused.value)


def test_the_command_line_takes_them(path):
    result = CliRunner().invoke(
        app,
        [
            "analyze", str(path), "--variant", "arm", "--control", "silence", "--metric", "spend=mean:spend",
            "--covariate", "spend=past", "--covariate", "spend=visits", "--reached", "got",
            "--factor", "text=text", "--factor", "hour=hour",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "by factor" in result.output


def test_one_covariate_given_as_text_or_mapping_is_the_same(path):
    one, other = analyse(path, covariates=["spend=past"]), analyse(path, covariates={"spend": "past"})
    one, other = of(one, "plain.am"), of(other, "plain.am")
    assert_alike(one, other)
    assert one.variance_reduction > 0.5
