"""A script of faults: what goes wrong from when to when. The same seed and the same requests give the same faults."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import yaml

from delivery.simulator.draws import uniform
from experiments.errors import Invalid


class Fault(StrEnum):
    """What a step of the plan does.

    Before a message is accepted: `server_error` (502 without JSON), `error` (Meta's error `code`), `refuse` (nobody listens
    on the port). After it was accepted: `drop` (the line is cut without an answer), `reset` (cut half way through the
    answer), `server_error_after` (502 without JSON all the same), `slow` (answered after `seconds` of real time).
    To status webhooks: `late` (told `seconds` of simulated time late), `duplicate` (told once more, `seconds` later).
    """

    SERVER_ERROR = "server_error"
    ERROR = "error"
    REFUSE = "refuse"
    DROP = "drop"
    RESET = "reset"
    SERVER_ERROR_AFTER = "server_error_after"
    SLOW = "slow"
    LATE = "late"
    DUPLICATE = "duplicate"


_OF_STATUSES = (Fault.LATE, Fault.DUPLICATE)
_DEFAULT_SECONDS = {Fault.LATE: 7200.0, Fault.DUPLICATE: 3600.0}


@dataclass(frozen=True, slots=True)
class FaultStep:
    """One fault at a `share` of what comes from `start` on and before `end`.

    `by` says in what: simulated `seconds` since the simulator's clock began, or numbers of `posts`, the first being 1.
    `seconds` belongs to slow, late and duplicate, and to a `refuse` by posts, which begins with the answer to POST `start`
    and lasts `seconds` of real time.
    """

    fault: Fault
    share: float = 1.0
    start: float = 0.0
    end: float = math.inf
    by: Literal["seconds", "posts"] = "seconds"
    seconds: float = 1.0
    code: int | None = None

    def covers(self, elapsed: float, number: int) -> bool:
        return self.start <= (elapsed if self.by == "seconds" else number) < self.end


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Steps in order; of those that apply to a POST the first whose draw hits decides."""

    steps: tuple[FaultStep, ...] = ()

    def of_post(self, seed: int, key: str, *, elapsed: float, number: int) -> FaultStep | None:
        """What happens to a POST: `key` names it and its attempt, `elapsed` in simulated seconds."""
        for position, step in enumerate(self.steps):
            if step.fault in _OF_STATUSES or step.fault is Fault.REFUSE:
                continue
            if step.covers(elapsed, number) and self._hits(seed, position, step, key):
                return step
        return None

    def of_status(self, seed: int, key: str, *, elapsed: float) -> list[FaultStep]:
        """What happens to the webhook of a status that comes about at `elapsed`."""
        return [
            step
            for position, step in enumerate(self.steps)
            if step.fault in _OF_STATUSES
            and step.covers(elapsed, 0)
            and self._hits(seed, position, step, key)
        ]

    def refusals(self, by: str) -> Iterator[FaultStep]:
        """The steps during which nobody listens, earliest first."""
        return iter(
            sorted(
                (step for step in self.steps if step.fault is Fault.REFUSE and step.by == by),
                key=lambda step: step.start,
            )
        )

    def _hits(self, seed: int, position: int, step: FaultStep, key: str) -> bool:
        return step.share >= 1 or uniform(seed, f"plan\0{position}", key) < step.share


_KEYS = {"fault", "share", "from", "to", "by", "seconds", "code"}


def read_fault_plan(document: Any) -> FaultPlan:
    """A plan from JSON or YAML: a list of steps, or `{"steps": [..]}`; raises Invalid with the path of what is wrong.

    `{"fault": "drop", "share": 0.05, "from": 0, "to": 600}`; `by: posts` counts POSTs instead of simulated seconds;
    `code` belongs to error, `seconds` to slow, late, duplicate and refuse (see FaultStep).
    """
    steps = document.get("steps") if isinstance(document, dict) else document
    if not isinstance(steps, list) or (isinstance(document, dict) and set(document) != {"steps"}):
        raise Invalid("must be a list of steps", field="faults")
    return FaultPlan(tuple(_step(step, f"faults[{position}]") for position, step in enumerate(steps)))


def load_fault_plan(path: Path) -> FaultPlan:
    """The plan in a JSON or YAML file."""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Invalid(f"{path.name} cannot be read ({type(error).__name__})", field="faults") from error
    return read_fault_plan(document)


def _step(value: Any, where: str) -> FaultStep:
    if not isinstance(value, dict):
        raise Invalid("must be an object", field=where)
    for name in value:
        if name not in _KEYS:
            raise Invalid("is not known", field=f"{where}.{name}")
    if value.get("fault") not in list(Fault):
        raise Invalid(f"must be one of {', '.join(Fault)}", field=f"{where}.fault")
    fault = Fault(value["fault"])
    by = value.get("by", "seconds")
    if by not in ("seconds", "posts") or (by == "posts" and fault in _OF_STATUSES):
        expected = "seconds" if fault in _OF_STATUSES else "seconds or posts"
        raise Invalid(f"must be {expected}", field=f"{where}.by")
    start = _number(value, "from", 0.0, where)
    end = _number(value, "to", math.inf, where)
    if end <= start:
        raise Invalid("must be after from", field=f"{where}.to")
    if fault is Fault.REFUSE and by == "seconds" and math.isinf(end):
        raise Invalid("must be there: a door that stays shut cannot be opened again", field=f"{where}.to")
    share = _number(value, "share", 1.0, where)
    if share > 1 or (fault is Fault.REFUSE and share != 1):
        raise Invalid("must be 1" if share <= 1 else "must be at most 1", field=f"{where}.share")
    code = value.get("code")
    if (fault is Fault.ERROR) != (isinstance(code, int) and not isinstance(code, bool)):
        raise Invalid("must be Meta's error code, of a fault error only", field=f"{where}.code")
    seconds = _number(value, "seconds", _DEFAULT_SECONDS.get(fault, 1.0), where)
    return FaultStep(fault, share, start, end, by, seconds, code)


def _number(value: Mapping[str, Any], name: str, default: float, where: str) -> float:
    given = value.get(name, default)
    if name not in value:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise Invalid("must be a number of at least 0", field=f"{where}.{name}")
    return float(given)
