"""What a report was made from, and by which code: kept beside it, hashed, so that anybody can make it again.

A report is a pure function of its `ReportInputs` (sums and counts, never rows). They are written as canonical JSON, read back, and
the report is made from what was read: nothing that is not kept can matter, nor the order of keys.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final, Self

from analysis.findings import HealthCheck, Report
from analysis.inputs import AnalysisPlan, ArmFacts, FactorSpec, MetricSpec
from analysis.reports.canonical import canonical, content_hash
from analysis.reports.dataclass_json import from_plain, to_plain
from analysis.verdicts.report import build_report

REPORT_SCHEMA: Final = 1
"""Counts the shapes of what a report says. Raise it when a field gets another meaning, or goes."""
PROVENANCE: Final = "provenance"
INPUTS: Final = "inputs"
_LIBRARIES: Final = ("touchstone", "numpy", "scipy", "statsmodels")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """All that `build_report` takes: the data cut of one look, with the plan of the analysis as it stood then."""

    experiment: str
    as_of: datetime
    plan: AnalysisPlan
    metrics: tuple[MetricSpec, ...]
    arms: tuple[ArmFacts, ...]
    factors: tuple[FactorSpec, ...] = ()
    checks: tuple[HealthCheck, ...] = ()
    warnings: tuple[str, ...] = ()

    def report(self) -> Report:
        """The report that they make; raises as `build_report` does."""
        return build_report(**{name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A report and all that is needed to make it again.

    body: the report as JSON. inputs: `{"specification": .., "data": ..}`, what was planned and the data cut; hashes: of both and of
    the body (`specification`, `data`, `report`), SHA-256 of the canonical JSON. made_with: versions of what computed it.
    """

    body: Mapping[str, Any]
    inputs: Mapping[str, Any]
    hashes: Mapping[str, str]
    made_with: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: ReportInputs, *, specification: Mapping[str, Any]) -> Self:
        """Make the report. specification: what was planned (a design, or the options of `analyze`), plain JSON."""
        data = to_plain(inputs)
        body = read_inputs(data).report().to_json()
        kept = {"specification": specification, "data": data}
        return cls(
            body=body,
            inputs=kept,
            hashes={**hashes_of(kept), "report": content_hash(body)},
            made_with=made_with(),
        )

    def exported(self) -> dict[str, Any]:
        """One JSON document with everything: the report, its `provenance` and its `inputs`."""
        return export(self.body, inputs=self.inputs, hashes=self.hashes, made_with=self.made_with)


def export(
    body: Mapping[str, Any],
    *,
    inputs: Mapping[str, Any] | None,
    hashes: Mapping[str, str] | None,
    made_with: Mapping[str, Any] | None,
    report_id: int | None = None,
) -> dict[str, Any]:
    """A report with its provenance (null where none was kept), and its inputs unless they are None."""
    known = hashes is not None and made_with is not None
    provenance = {"id": report_id, "hashes": hashes, "made_with": made_with} if known else None
    return {**body, PROVENANCE: provenance} | ({} if inputs is None else {INPUTS: inputs})


def read_inputs(data: Mapping[str, Any]) -> ReportInputs:
    """The inputs that a data cut holds. Raises Invalid, by its path below `inputs.data`, for what this version cannot read."""
    return from_plain(ReportInputs, json.loads(canonical(data)), path="inputs.data")


def hashes_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of the specification and of the data cut."""
    return {name: content_hash(inputs[name]) for name in ("specification", "data")}


@cache
def _versions() -> tuple[tuple[str, Any], ...]:
    return (
        ("report", REPORT_SCHEMA),
        ("python", platform.python_version()),
        *((name, version(name)) for name in _LIBRARIES),
    )


def made_with() -> dict[str, Any]:
    """The versions that decide what a report says, to the last digit: ours, of the report's schema, and of what computes."""
    return dict(_versions())
