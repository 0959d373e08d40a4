"""A report as one HTML page: no request leaves it, it prints, and follows the reader's colours (pages/report.html is its shape)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from analysis.reports import report_words as words
from analysis.reports.evidence import INPUTS, PROVENANCE
from analysis.reports.history import LookPoint
from analysis.reports.report_pictures import interval_picture, time_picture
from analysis.verdicts.health import skew_words
from experiments.clock import parse_moment

STAGES: Final = ("accepted", "delivered", "read", "clicked")
SERIES: Final = 6
"""Colours of lines; with more variants they come round again, and each line is labelled anyway."""


MANY: Final = 8
"""With more arms than this, arms are a table, and an effect that is not clear has its numbers but no sentence."""


def render_html(
    document: Mapping[str, Any],
    *,
    looks: Sequence[LookPoint] = (),
    segments: Mapping[str, Any] | None = None,
) -> str:
    """The page of a report.

    document: the report's JSON, with its provenance and inputs where they are known (`evidence.export`); those of older versions are
    shown as well. looks: what earlier looks said, for the picture of the time. segments: the JSON of its `SegmentReport`.
    """
    title, tone = words.headline(document)
    skewed = next((c for c in document["health"] if c["check"] == "srm" and not c["ok"]), None)
    about_checks = tuple(f"{check['check']} at {check['stage']}: " for check in document["health"])
    first_skew = None if skewed is None else skew_words(str(skewed["stage"]))
    return _template().render(
        report=document,
        design=_design(document),
        as_of=_moment(parse_moment(document["as_of"])),
        title=title,
        tone=tone,
        decided=words.decided(document),
        stages=[name for name in STAGES if any(arm["messages"].get(name) for arm in document["arms"])],
        most=_most(document),
        many=len(document["arms"]) > MANY,
        metrics=[_metric(document, metric) for metric in document["metrics"]],
        time=_time(document, looks),
        segments=segments,
        about_slices=_about_slices(document, segments),
        first_skew=first_skew,
        # What a check says stands with the check.
        warnings=[
            said
            for said in words.folded_warnings(document)
            if not said.startswith(about_checks) and said != first_skew
        ],
        meaning=words.meaning_of_significant(document),
        provenance=document.get(PROVENANCE),
        words=words,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("analysis.reports", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    return environment.get_template("report.html")


def _design(document: Mapping[str, Any]) -> Mapping[str, Any]:
    inputs = document.get(INPUTS) or {}
    found: Mapping[str, Any] = inputs.get("specification") or {}
    return found


def _moment(value: datetime) -> str:
    return f"{value.day} {value:%B %Y, %H:%M} UTC"


def _most(document: Mapping[str, Any]) -> int:
    """The longest bar of the funnel."""
    return max(
        (
            max(arm["assigned"], *(arm["messages"].get(name, 0) for name in STAGES))
            for arm in document["arms"]
        ),
        default=0,
    )


def _unit(kind: str) -> str:
    return " pts" if kind in words.SHARES else ""


def _metric(document: Mapping[str, Any], metric: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(metric["kind"])
    known = [effect for effect in metric["effects"] if effect.get("absolute") is not None]
    return {
        "metric": metric,
        "better": "more" if metric.get("direction", "increase") == "increase" else "less",
        "picture": interval_picture(metric, scale=words.factor(kind), unit=_unit(kind)),
        "levels": [(arm["variant"], words.level(arm, kind)) for arm in metric["arms"]],
        "has_adjusted": any(
            effect.get("interval_adjusted") not in (None, effect["absolute"]) for effect in known
        ),
        "effects": [
            {
                "effect": effect,
                "verdict": words.verdict(metric, effect),
                "sentence": words.sentence(metric, effect, float(document["alpha"])),
                "is_brief": len(metric["arms"]) > MANY and words.verdict(metric, effect)[1] == "open",
            }
            for effect in metric["effects"]
        ],
    }


def _about_slices(document: Mapping[str, Any], segments: Mapping[str, Any] | None) -> list[str]:
    """What only the slices have to say."""
    return (
        []
        if segments is None
        else [said for said in segments["warnings"] if said not in document["warnings"]]
    )


def _time(document: Mapping[str, Any], looks: Sequence[LookPoint]) -> dict[str, Any] | None:
    primary = next((metric for metric in document["metrics"] if metric["role"] == "primary"), None)
    if primary is None:
        return None
    kind = str(primary["kind"])
    variants = [effect["variant"] for effect in primary["effects"]]
    picture = time_picture(looks, primary["metric"], variants, scale=words.factor(kind), unit=_unit(kind))
    if picture is None:
        return None
    return {
        "metric": primary["metric"],
        "picture": picture,
        "colours": {variant: 1 + i % SERIES for i, variant in enumerate(variants)},
    }
