"""A report as CSV: one row for each metric and variant, the control among them, safe to open in a spreadsheet."""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any, Final

from targeting.imports.source import neutralise_formula

COLUMNS: Final = (
    "experiment", "as_of", "method", "alpha", "metric", "kind", "role", "variant", "control", "n", "mean", "sd",
    "estimate", "lower", "upper", "relative_estimate", "relative_lower", "relative_upper", "p_value", "adjusted_p_value",
    "significant", "adjusted_lower", "adjusted_upper", "variance_reduction", "probability_better", "expected_loss", "test",
    "decision", "decision_variant",
)  # fmt: skip
_OF_ONE_EFFECT: Final = ("p_value", "adjusted_p_value", "significant", "variance_reduction", "test")
_PARTS: Final = {
    "absolute": {"estimate": "estimate", "lower": "lower", "upper": "upper"},
    "relative": {"relative_estimate": "estimate", "relative_lower": "lower", "relative_upper": "upper"},
    "interval_adjusted": {"adjusted_lower": "lower", "adjusted_upper": "upper"},
    "bayes": {"probability_better": "probability_better", "expected_loss": "expected_loss"},
}
"""Parts of an effect that are objects: which column holds which of their values."""


def render_csv(report: Mapping[str, Any]) -> str:
    """The report's JSON as CSV with a header (RFC 4180; cells that cannot be told are empty).

    A text that begins with = + - @, a tab or a carriage return gets a quote mark in front, so that no spreadsheet runs it. Numbers
    are written as numbers, shortest digits that read back the same: -0.5 stays -0.5, while a variant named -0.5 becomes '-0.5.
    """
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(report):
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
    return out.getvalue()


def _rows(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    whole = {name: report[name] for name in ("experiment", "as_of", "method", "alpha")}
    decision = {
        "decision": report["decision"]["action"],
        "decision_variant": report["decision"].get("variant"),
    }
    control = next((arm["variant"] for arm in report["arms"] if arm["control"]), None)
    for metric in report["metrics"]:
        effects = {effect["variant"]: effect for effect in metric["effects"]}
        for arm in metric["arms"]:
            effect = effects.get(arm["variant"], {})
            yield {
                **whole,
                **{name: metric[name] for name in ("metric", "kind", "role")},
                **{name: arm.get(name) for name in ("variant", "n", "mean", "sd")},
                "control": effect.get("control", control),
                **{name: effect.get(name) for name in _OF_ONE_EFFECT},
                **{
                    column: (effect.get(part) or {}).get(name)
                    for part, columns in _PARTS.items()
                    for column, name in columns.items()
                },
                **decision,
            }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return neutralise_formula(value) if isinstance(value, str) else repr(value)
