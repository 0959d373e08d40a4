import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

from analysis.reports.dataclass_json import from_plain, to_plain
from analysis.reports.evidence import ReportInputs
from analysis.verdicts.report import build_report
from experiments.errors import Invalid
from experiments.vocabulary import Method


@dataclass(frozen=True)
class Inner:
    x: float
    n: int | None = None


@dataclass(frozen=True)
class Other:
    x: float


@dataclass(frozen=True)
class Tomorrow:
    """Every sort of field that somebody may add."""

    either: Inner | Other
    many: Mapping[str, Inner | Other | None]
    by_epoch: Mapping[int, tuple[Inner, ...]] = field(default_factory=dict)
    by_method: Mapping[Method, float] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    grid: Sequence[Sequence[float]] = ()
    listed: list[str] = field(default_factory=list)
    at: datetime | None = None
    window: timedelta | None = None
    side: Literal["one", "two"] = "two"
    method: Method | None = None
    anything: Any = None
    flag: bool = False
    size: float = 1.0


FULL = Tomorrow(
    either=Other(x=1.5),
    many={"a": Inner(x=math.inf, n=3), "b": None, "c": Other(x=-0.0)},
    by_epoch={2: (Inner(x=1), Inner(x=2.0))},
    by_method={Method.FIXED: 0.5},
    pair=(3, "p"),
    grid=((1.0, 2.0), (3.0,)),
    listed=["x"],
    at=datetime(2026, 12, 1, 10, 0, 0, 17, tzinfo=UTC),
    window=timedelta(days=2, microseconds=1),
    side="one",
    method=Method.SPENDING,
    anything={"deep": [1, None]},
    flag=True,
    size=-math.inf,
)


def test_every_sort_of_field_comes_back_as_it_was():
    plain = to_plain(FULL)
    back = from_plain(Tomorrow, json.loads(json.dumps(plain, allow_nan=False)))
    assert back == FULL
    assert type(back.by_epoch[2][0].x) is int
    assert math.copysign(1, back.many["c"].x) == -1
    assert isinstance(back.listed, list)
    assert plain["either"] == {"$type": "Other", "x": 1.5}


def test_what_was_kept_when_only_one_class_was_allowed_is_still_that_class():
    assert from_plain(Tomorrow, {"either": {"x": 1}, "many": {}}).either == Inner(x=1)


def test_what_is_none_by_default_is_left_out_and_numbers_of_numpy_are_numbers():
    small = Tomorrow(either=Inner(x=np.float64(0.1), n=np.int64(4)), many={})
    plain = to_plain(small)
    assert not {"at", "window", "method", "anything"} & plain.keys()
    assert json.dumps(plain["either"]) == '{"$type": "Inner", "x": 0.1, "n": 4}'
    assert math.isnan(from_plain(Inner, to_plain(Inner(x=math.nan))).x)


@pytest.mark.parametrize("value", [Decimal(1), Fraction(1, 2), {1, 2}, object(), b"x"])
def test_what_is_not_carried_is_refused_when_it_is_written(value):
    with pytest.raises(TypeError):
        to_plain(Other(x=value))


@pytest.mark.parametrize(
    ("plain", "path"),
    [
        ({"x": 1.0, "new": 1}, "new"),
        ({}, "Inner"),
        ({"x": "many"}, "x"),
        ({"x": True}, "x"),
        ({"x": None}, "x"),
        ({"x": [1.0]}, "x"),
        ({"x": {"y": 1}}, "x"),
        ({"x": 1.0, "n": "3"}, "n"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_path(plain, path):
    with pytest.raises(Invalid) as refused:
        from_plain(Inner, plain)
    assert [problem.field for problem in refused.value.problems] == [path]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"either": {"$type": "Third", "x": 1}}, "either"),
        ({"at": "yesterday"}, "at"),
        ({"method": "bayes"}, "method"),
        ({"side": "three"}, "side"),
        ({"by_epoch": {"one": []}}, "by_epoch"),
        ({"many": {"a": {"$type": "Inner", "x": "?"}}}, "many.a.x"),
    ],
)
def test_so_is_what_lies_deeper(change, path):
    with pytest.raises(Invalid) as refused:
        from_plain(Tomorrow, {**to_plain(FULL), **change})
    assert [problem.field for problem in refused.value.problems] == [path]


def test_all_that_a_report_is_made_from_is_carried():
    """A parameter that is added to build_report must be kept as well, or no report could be made again."""
    assert list(inspect.signature(build_report).parameters) == list(
        inspect.signature(ReportInputs).parameters
    )
