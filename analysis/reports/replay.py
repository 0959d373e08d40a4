"""Making a kept report again, from what was kept beside it: the same to the last byte, or where it first differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from analysis.reports.canonical import canonical, content_hash, first_difference
from analysis.reports.evidence import INPUTS, PROVENANCE, hashes_of, made_with, read_inputs
from experiments.errors import Conflict, Invalid

WHAT: Final = {"specification": "the specification", "data": "the data cut", "report": "the report"}
_NAMES: Final = {"report": "the report's schema"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it. size: bytes of the report. same: all hashes hold, and the report made again equals the kept one byte for byte.

    altered: which of specification, data and report no longer have the hash that was kept with them. difference: path, what was
    kept there, and what comes out now. other_versions: name -> (then, now) of what has changed since.
    """

    experiment: str
    as_of: str
    report_hash: str
    size: int
    altered: tuple[str, ...]
    difference: tuple[str, str, str] | None
    other_versions: Mapping[str, tuple[Any, Any]]

    @property
    def same(self) -> bool:
        return not self.altered and self.difference is None

    def lines(self) -> list[str]:
        """The verdict, in sentences."""
        told = [f"{self.experiment} as of {self.as_of}"]
        if self.same:
            told.append(f"the same, byte for byte: {self.size:,} bytes, sha256 {self.report_hash}")
        told += [
            f"{WHAT[name]} was altered: it does not have the hash that was kept with it"
            for name in self.altered
        ]
        if self.difference is not None:
            path, kept, now = self.difference
            told.append(f"first difference at {path}: kept {kept}, made again {now}")
        if self.other_versions:
            changed = ", ".join(
                f"{_NAMES.get(name, name)} {then}, now {now}"
                for name, (then, now) in self.other_versions.items()
            )
            told.append(f"made with another code version: {changed}")
        return told


def replay(document: Mapping[str, Any]) -> Replay:
    """Make the report of an exported document (`evidence.export`) again.

    Raises Conflict when nothing was kept to make it from, Invalid when the document is no report or what was kept cannot be read
    by this version.
    """
    body = {name: value for name, value in document.items() if name not in (PROVENANCE, INPUTS)}
    if not isinstance(body.get("arms"), list) or not isinstance(body.get("as_of"), str):
        raise Invalid("is not a report: it has no arms or no as_of", field="report")
    provenance, inputs = document.get(PROVENANCE), document.get(INPUTS)
    if provenance is None and inputs is None:
        raise Conflict(
            "cannot be replayed: made before reports kept what they were made from, or exported without it",
            field="report",
        )
    hashes, versions = _parts(provenance)
    kept = _inputs(inputs)
    found = {**hashes_of(kept), "report": content_hash(body)}
    altered = tuple(name for name in WHAT if hashes.get(name) != found[name])
    # What was altered proves nothing, whatever could be computed from it.
    again = None if "data" in altered else _made_again(kept["data"])
    now = made_with()
    return Replay(
        experiment=str(body.get("experiment")),
        as_of=body["as_of"],
        report_hash=found["report"],
        size=len(canonical(body)),
        altered=altered,
        difference=None if again is None else first_difference(body, again),
        other_versions={
            name: (versions.get(name, "unknown"), now.get(name, "unknown"))
            for name in {**versions, **now}
            if versions.get(name) != now.get(name)
        },
    )


def _made_again(data: Mapping[str, Any]) -> dict[str, Any]:
    inputs = read_inputs(data)
    try:
        return inputs.report().to_json()
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise Invalid(
            f"no report can be made from it by this version: {type(error).__name__}: {error}",
            field="inputs.data",
        ) from error


def _parts(provenance: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if isinstance(provenance, Mapping):
        hashes, versions = provenance.get("hashes"), provenance.get("made_with")
        if isinstance(hashes, Mapping) and isinstance(versions, Mapping):
            return hashes, versions
    raise Invalid("must be an object with hashes and made_with", field=PROVENANCE)


def _inputs(inputs: Any) -> Mapping[str, Any]:
    parts = ("specification", "data")
    if isinstance(inputs, Mapping) and all(isinstance(inputs.get(name), Mapping) for name in parts):
        return inputs
    raise Invalid("must be an object with specification and data", field=INPUTS)
