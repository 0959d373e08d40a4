"""A report as CSV, safe to open in a spreadsheet: one row for each metric and variant, the control among them.

Below them, where there are any, effects by factor and by slice; the column `row` says which a row is.
"""

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
    # Columns are only ever added, at the end.
    "row", "cace_estimate", "cace_lower", "cace_upper", "factor", "level", "against", "by", "slice", "n_control",
)  # fmt: skip
VARIANT: Final = "variant"
SLICE: Final = "slice"
_OF_ONE_EFFECT: Final = ("p_value", "adjusted_p_value", "significant", "variance_reduction", "test")
_PARTS: Final = {
    "absolute": {"estimate": "estimate", "lower": "lower", "upper": "upper"},
    "relative": {"relative_estimate": "estimate", "relative_lower": "lower", "relative_upper": "upper"},
    "interval_adjusted": {"adjusted_lower": "lower", "adjusted_upper": "upper"},
    "cace": {"cace_estimate": "estimate", "cace_lower": "lower", "cace_upper": "upper"},
    "bayes": {"probability_better": "probability_better", "expected_loss": "expected_loss"},
}
"""Parts of an effect that are objects: which column holds which of their values."""


def render_csv(report: Mapping[str, Any], *, segments: Mapping[str, Any] | None = None) -> str:
    """The report's JSON as CSV with a header (RFC 4180; cells that cannot be told are empty).

    segments: the JSON of its `SegmentReport`, whose slices come last. `row` is `variant`, `main` or `interaction` (by factor: `factor`,
    `level` and `against` say which, two joined by ` x `; the variant is empty) or `slice` (`by`, `slice`, and both arms' users).
    A text that begins with = + - @, a tab or a carriage return gets a quote mark in front, so that no spreadsheet runs it. Numbers
    are written as numbers, shortest digits that read back the same: -0.5 stays -0.5, while a variant named -0.5 becomes '-0.5.
    """
    out = StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(report, segments):
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
    return out.getvalue()


def _rows(report: Mapping[str, Any], segments: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    whole = {
        **{name: report[name] for name in ("experiment", "as_of", "method", "alpha")},
        "decision": report["decision"]["action"],
        "decision_variant": report["decision"].get("variant"),
    }
    control = next((arm["variant"] for arm in report["arms"] if arm["control"]), None)
    for metric in report["metrics"]:
        for row in _of_variants(metric, control):
            yield {**whole, **_of_metric(metric), **row}
    for metric in report["metrics"]:
        for effect in metric.get("factors", ()):
            yield {**whole, **_of_metric(metric), **_of_factor(effect)}
    for metric in [] if segments is None else segments["metrics"]:
        for each in metric["slices"]:
            yield {
                **whole,
                **_of_metric(metric),
                **_of_effect(each["effect"]),
                **{name: each[name] for name in ("slice", "n", "n_control")},
                "variant": each["effect"]["variant"],
                "row": SLICE,
                "by": None if segments is None else segments["by"],
            }


def _of_metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {name: metric[name] for name in ("metric", "kind", "role")}


def _of_variants(metric: Mapping[str, Any], control: str | None) -> Iterator[dict[str, Any]]:
    effects = {effect["variant"]: effect for effect in metric["effects"]}
    sizes = {arm["variant"]: arm.get("n") for arm in metric["arms"]}
    for arm in metric["arms"]:
        effect = effects.get(arm["variant"], {})
        yield {
            "control": control,
            "n_control": sizes.get(effect.get("control", control)),
            **_of_effect(effect),
            **{name: arm.get(name) for name in ("variant", "n", "mean", "sd")},
            "row": VARIANT,
        }


def _of_factor(effect: Mapping[str, Any]) -> dict[str, Any]:
    terms = {"factor": "factors", "level": "levels", "against": "against"}
    return {
        **_of_effect(effect),
        **{column: " x ".join(effect[name]) for column, name in terms.items()},
        "row": effect["kind"],
    }


def _of_effect(effect: Mapping[str, Any]) -> dict[str, Any]:
    known = {"control": effect["control"]} if "control" in effect else {}
    return {
        **known,
        **{name: effect.get(name) for name in _OF_ONE_EFFECT},
        **{
            column: (effect.get(part) or {}).get(name)
            for part, columns in _PARTS.items()
            for column, name in columns.items()
        },
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return neutralise_formula(value) if isinstance(value, str) else repr(value)
