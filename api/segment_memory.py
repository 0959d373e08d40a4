"""Slices of reports that took long to count, kept for those who ask again.

Slices belong to a kept report and are as of its moment (decision 0032), so asked again they say the same. A page that shows them asks
every few seconds, and of a million users whose windows have closed they take seconds. Kept in the memory of the process and not
beside the report, for the names of slices may be what erasure forgets. Decision 0068.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from analysis.facts.engines import FactsEngine
from analysis.reports.models import StoredReport
from analysis.reports.segment_findings import SegmentReport
from analysis.reports.segment_reports import segment_report
from experiments.database import Database

SLOW: Final = 0.5
"""Seconds; what took less is counted anew."""
LONGEST: Final = 3600.0
"""Seconds that slices are kept: attributes are those of now, and people are erased."""
MOST: Final = 50


class _Kept(NamedTuple):
    until: float
    as_of: datetime
    slices: SegmentReport


class SegmentReports:
    """The slices of the newest reports that were asked for, by experiment and attribute. `monotonic` gives the machine's time in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, str], _Kept] = {}

    def get(
        self, database: Database, report: StoredReport, *, by: str, facts: FactsEngine | None = None
    ) -> SegmentReport:
        """As `segment_report`, or what that said of this very report within the last hour."""
        name = (report.experiment_id, by)
        began = self._monotonic()
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None and kept.as_of == report.as_of and began < kept.until:
            return kept.slices
        found = segment_report(database, report, by=by, facts=facts)
        ended = self._monotonic()
        with self._lock:
            self._kept.pop(name, None)
            if ended - began >= SLOW:
                while len(self._kept) >= MOST:
                    del self._kept[next(iter(self._kept))]
                self._kept[name] = _Kept(ended + LONGEST, report.as_of, found)
        return found
