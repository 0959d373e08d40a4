"""What a benchmark says, how it is registered, and how its time is taken."""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    figure: in `unit`. yardstick: the same work done plainly (`against` says how), in the same unit and the same run;
    ratio: our speed over the yardstick's, so more is better and 1 is alike. bar: in words, None where the design sets
    none; met: None without a bar. note: what a reader must know to not be misled.
    """

    what: str
    figure: float
    unit: str
    yardstick: float | None = None
    against: str = ""
    ratio: float | None = None
    bar: str | None = None
    met: bool | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Benchmark = Callable[[Say], Sequence[Figure]]

BENCHMARKS: Final[dict[str, Benchmark]] = {}
"""By name, in the order in which they run."""


ON_REQUEST: Final[set[str]] = set()
"""Names of those that take too long to run unless they are asked for."""


def benchmark(name: str, *, on_request: bool = False) -> Callable[[Benchmark], Benchmark]:
    """Register a function as the benchmark `name`; it gets a function to say how far it is."""

    def register(function: Benchmark) -> Benchmark:
        BENCHMARKS[name] = function
        if on_request:
            ON_REQUEST.add(name)
        return function

    return register


def seconds(work: Callable[[], object]) -> float:
    """How long `work()` takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The median of `repeats` times."""
    return statistics.median(seconds(work) for _ in range(repeats))


def alternating(
    first: Callable[[], float], second: Callable[[], float], repeats: int
) -> tuple[float, float, float]:
    """Two measurements in turns: the median of each, and the median of first / second over the turns.

    The machine's load changes from minute to minute; within a turn it is nearly the same for both.
    """
    pairs = [(first(), second()) for _ in range(repeats)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def peak_megabytes() -> float:
    """The most memory that this process ever held, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss of a new process may still be its parent's.
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
