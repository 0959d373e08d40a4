import pytest

from analysis.files.file_metrics import parse_metrics
from experiments.errors import Invalid
from experiments.vocabulary import MetricKind

COLUMNS = ["visit", "spend", "orders", "a/b", "wait@1"]


def test_every_kind_is_read():
    made = parse_metrics(
        [
            "v=proportion:visit",
            "s=mean:spend",
            "r = ratio:spend/orders",
            "m=quantile:spend",
            "p=quantile:spend@0.95",
        ],
        ["s=orders"],
        COLUMNS,
    )
    assert [(m.name, m.kind, m.column, m.denominator, m.covariate, m.level) for m in made] == [
        ("v", MetricKind.PROPORTION, "visit", None, None, 0.5),
        ("s", MetricKind.MEAN, "spend", None, "orders", 0.5),
        ("r", MetricKind.RATIO, "spend", "orders", None, 0.5),
        ("m", MetricKind.QUANTILE, "spend", None, None, 0.5),
        ("p", MetricKind.QUANTILE, "spend", None, None, 0.95),
    ]
    assert parse_metrics(["s=mean:spend"], {"s": "orders"}, COLUMNS)[0].covariate == "orders"


def test_column_names_may_hold_the_separators():
    assert parse_metrics(["r=ratio:a/b/orders"], [], COLUMNS)[0].column == "a/b"
    assert parse_metrics(["q=quantile:wait@1"], [], COLUMNS)[0].column == "wait@1"


@pytest.mark.parametrize(
    ("metrics", "covariates", "said"),
    [
        ([], [], "--metric: at least one"),
        (["visit"], [], "--metric: write NAME=KIND:COLUMN"),
        (["v=proportion"], [], "--metric: write NAME=KIND:COLUMN"),
        (["=mean:spend"], [], "--metric: write NAME=KIND:COLUMN"),
        (
            ["v=median:spend"],
            [],
            "--metric v: unknown kind 'median'; use one of proportion, mean, ratio, quantile",
        ),
        (["v=median:spend"], [], "--metric v: unknown kind 'median'"),
        (["v=mean:spnd"], [], "--metric v: the file has no column 'spnd'; did you mean spend"),
        (["v=mean:SPEND"], [], "did you mean spend"),
        (["v=mean:zzz"], [], "there are: visit, spend, orders"),
        (["v=ratio:spend"], [], "--metric v: a ratio needs two columns"),
        (["v=ratio:spend/zzz"], [], "--metric v: the file has no column 'zzz'"),
        (["v=quantile:spend@x"], [], "--metric v: 'x' is not a level"),
        (["v=quantile:spend@1"], [], "--metric v: the level of a quantile lies between 0 and 1"),
        (["v=mean:spend", "v=mean:visit"], [], "--metric v: the name is used twice"),
        (["v=mean:spend"], ["w=orders"], "--covariate w: there is no metric of this name"),
        (["v=mean:spend"], ["v=ordrs"], "--covariate v: the file has no column 'ordrs'; did you mean orders"),
        (["v=mean:spend"], ["orders"], "--covariate: write NAME=COLUMN"),
        (["v=quantile:spend"], ["v=orders"], "--covariate v: a quantile takes no covariate"),
    ],
)
def test_errors_name_the_option(metrics, covariates, said):
    with pytest.raises(Invalid) as caught:
        parse_metrics(metrics, covariates, COLUMNS)
    assert said in str(caught.value)
