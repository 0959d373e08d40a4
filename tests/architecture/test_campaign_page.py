"""Every example on the page about campaigns is one that the design takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from experiments.design import Audience, ExperimentDesign, read_design
from experiments.metrics import BUILT_IN, MetricUse
from experiments.quantities import OPERATORS, Cap, Quantity
from experiments.triggers import (
    EventTrigger,
    InactivityTrigger,
    OnceTrigger,
    RecurringTrigger,
    RuleTrigger,
)
from experiments.vocabulary import MessageStage, MetricKind

PAGE = (Path(__file__).parents[2] / "docs/campaign.md").read_text(encoding="utf-8")
WHOLE, *PARTS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def test_the_whole_campaign_is_read() -> None:
    assert read_design(WHOLE, library={}).key == "spring-wakeup"


@pytest.mark.parametrize("part", PARTS, ids=[str(number) for number in range(len(PARTS))])
def test_each_part_fits_into_it(part: dict[str, Any]) -> None:
    read_design({**WHOLE, **part}, library={})


def test_every_field_of_the_audience_has_an_example() -> None:
    shown = {name for part in [WHOLE, *PARTS] for name in part.get("audience", {})}
    assert shown == Audience.model_fields.keys()


def test_every_trigger_and_every_field_beside_it_has_an_example() -> None:
    shown = [part["trigger"] for part in [WHOLE, *PARTS] if "trigger" in part]
    kinds: list[type[BaseModel]] = [
        OnceTrigger,
        EventTrigger,
        InactivityTrigger,
        RecurringTrigger,
        RuleTrigger,
    ]
    assert {each["type"] for each in shown} == {
        kind.model_json_schema()["properties"]["type"]["const"] for kind in kinds
    }
    assert {name for each in shown for name in each} == {name for kind in kinds for name in kind.model_fields}
    fields = {name for part in [WHOLE, *PARTS] for name in part}
    assert fields == ExperimentDesign.model_fields.keys()


def test_every_kind_and_every_field_of_a_metric_has_an_example() -> None:
    shown = [metric for part in [WHOLE, *PARTS] for metric in part.get("metrics", [])]
    assert {metric["kind"] for metric in shown if "kind" in metric} == {str(kind) for kind in MetricKind}
    assert {name for metric in shown for name in metric} >= MetricUse.model_fields.keys()
    assert {metric["key"] for metric in shown if "kind" not in metric} == BUILT_IN.keys()
    parts = [metric[name] for metric in shown for name in ("numerator", "denominator") if name in metric]
    assert {name for part in parts for name in part} == Quantity.model_fields.keys()
    caps = [each["cap"] for each in (*shown, *parts) if "cap" in each]
    assert {name for cap in caps for name in cap} == Cap.model_fields.keys()
    assert all(f"`{stage}`" in PAGE for stage in MessageStage)
    assert " ".join(OPERATORS) in PAGE
