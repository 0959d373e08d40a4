"""What must hold for every report, however bad its data are: what cannot be told is null with a reason, in every form it has."""

import csv
import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

from rich.console import Console

from analysis.reports.report_csv import COLUMNS, render_csv
from analysis.reports.report_html import render_html
from analysis.reports.report_text import render
from api.strict_json import read_json
from tests.unit.analysis.pages import Page

PARTS = {"absolute": "", "relative": "relative_", "interval_adjusted": "adjusted_", "cace": "cace_"}


def judged(document: Mapping[str, Any]) -> dict[str, Any]:
    """The report, read back strictly, once nothing in it is dishonest."""
    body: dict[str, Any] = read_json(json.dumps(document, allow_nan=False).encode())
    for metric in body["metrics"]:
        for effect in metric["effects"]:
            name = f"{metric['metric']}, {effect['variant']} against {effect['control']}: "
            whole = f"{metric['metric']}: "
            reasons = [said for said in body["warnings"] if said.startswith((name, whole))]
            for part in ("absolute", "relative", "p_value", "bayes"):
                assert effect[part] is not None or reasons, (part, effect, body["warnings"])
            if effect["absolute"] is None:
                assert (effect["p_value"], effect["significant"], effect["relative"]) == (None, None, None)
            if effect["p_value"] == 1:
                # Not for want of data: a test was made, and its interval holds 0.
                assert effect["test"] is not None
                assert effect["absolute"]["lower"] <= 0 <= effect["absolute"]["upper"]
    assert body["decision"]["because"]
    same_in_the_table(body)
    assert body["experiment"] in Page(render_html(body)).text
    shown = StringIO()
    Console(file=shown, width=120).print(render(body))
    assert "nan" not in shown.getvalue().lower().split()
    return body


def same_in_the_table(body: Mapping[str, Any], segments: Mapping[str, Any] | None = None) -> None:
    """Every number of the report stands in the table, to the last digit, and no other."""
    rows = list(csv.DictReader(StringIO(render_csv(body, segments=segments), newline="")))
    assert all(list(row) == list(COLUMNS) for row in rows)
    arms = [(metric, arm) for metric in body["metrics"] for arm in metric["arms"]]
    factors = [each for metric in body["metrics"] for each in metric["factors"]]
    slices = [each for metric in (segments or {"metrics": []})["metrics"] for each in metric["slices"]]
    assert len(rows) == len(arms) + len(factors) + len(slices)
    for row, (metric, arm) in zip(rows, arms, strict=False):
        effect = next((each for each in metric["effects"] if each["variant"] == arm["variant"]), None)
        assert row["row"] == "variant"
        assert [told(row[name]) for name in ("n", "mean", "sd")] == [
            arm[name] for name in ("n", "mean", "sd")
        ]
        if effect is not None:
            same_effect(row, effect)
    for row, effect in zip(rows[len(arms) :], factors, strict=False):
        assert row["row"] == effect["kind"]
        assert row["level"] == " x ".join(effect["levels"])
        same_effect(row, effect)
    for row, each in zip(rows[len(arms) + len(factors) :], slices, strict=True):
        assert (row["row"], told(row["n"]), told(row["n_control"])) == ("slice", each["n"], each["n_control"])
        same_effect(row, each["effect"])


def same_effect(row: Mapping[str, str], effect: Mapping[str, Any]) -> None:
    for part, prefix in PARTS.items():
        for end in ("estimate", "lower", "upper"):
            if f"{prefix}{end}" in row:
                assert told(row[f"{prefix}{end}"]) == (effect.get(part) or {}).get(end), (part, end)
    for name in ("p_value", "adjusted_p_value", "variance_reduction"):
        assert told(row[name]) == effect[name]
    assert row["significant"] == {None: "", True: "true", False: "false"}[effect["significant"]]


def told(cell: str) -> float | None:
    return float(cell) if cell else None
