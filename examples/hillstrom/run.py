"""One rehearsal of the campaign over the people of a file, and what must be true of it afterwards."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from api.demo.rehearsal import Rehearsal
from examples.hillstrom.people import write_people

DAYS: Final = 15.0
BEHAVIOUR: Final[dict[str, Any]] = {
    "silence": {"visit": 0.106, "buy": 0.054, "revenue": 114.0},
    "templates": {
        "mens_catalogue": {
            "delivered": 0.97,
            "read": 0.8,
            "clicked": 0.3,
            "visit": 0.183,
            "buy": 0.088,
            "parameters": 1,
        },
        "womens_catalogue": {
            "delivered": 0.97,
            "read": 0.8,
            "clicked": 0.3,
            "visit": 0.151,
            "buy": 0.069,
            "parameters": 1,
        },
    },
}
"""The visit rates of 2008, by intention to treat."""


@dataclass
class Outcome:
    """What came of it. `seconds` by step; `peak_mb` is the largest resident set of this process (API and workers)."""

    report: dict[str, Any]
    truth: dict[str, Any]
    summary: dict[str, Any]
    simulator: dict[str, Any]
    most_in_a_week: int
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0

    def problems(self) -> list[str]:
        """What is not as it must be; empty when all is well."""
        found = []
        if not self.summary["holds"]:
            found.append("messages are not all accounted for")
        if self.simulator["accepted_per_message_max"] > 1:
            found.append("a message was sent twice")
        if self.simulator["failed_calls"] or self.simulator["webhooks_lost"]:
            found.append("calls of the simulated world were lost")
        if self.most_in_a_week > 1:
            found.append("somebody got more messages than the cap allows")
        for effect, true in self.effects():
            if effect["absolute"] is None:
                found.append(f"nothing is known of the effect of {effect['variant']}")
            elif not effect["absolute"]["lower"] <= true <= effect["absolute"]["upper"]:
                found.append(f"the interval of {effect['variant']} misses the truth {true:+.4f}")
        return found

    def effects(self) -> list[tuple[dict[str, Any], float]]:
        """Each effect on visits, with its truth."""
        metric = next(metric for metric in self.report["metrics"] if metric["metric"] == "visited")
        truths = self.truth["treatments"]
        return [
            (effect, float(truths[f"{effect['variant']}_catalogue"]["difference"]["visit"]))
            for effect in metric["effects"]
        ]


def rehearse(
    source: Path,
    folder: Path,
    *,
    limit: int | None = None,
    seconds: float = 60.0,
    seed: int = 2008,
    database_url: str | None = None,
    watch: Callable[[datetime, dict[str, Any]], None] = lambda _now, _summary: None,
) -> Outcome:
    """Import, design, start, deliver, observe, analyse; `limit` takes the first rows only."""
    design = yaml.safe_load((Path(__file__).parent / "campaign.yaml").read_text(encoding="utf-8"))
    crm, world = write_people(source, folder, limit=limit)
    url = database_url or f"sqlite:///{folder.resolve()}/touchstone.db"
    took: dict[str, float] = {}
    with Rehearsal(database_url=url, days=DAYS, seconds=seconds, seed=seed, cap_week=1) as rehearsal:
        started = time.monotonic()
        rehearsal.import_people(crm)
        took["import"] = time.monotonic() - started
        rehearsal.load_world(people_path=world, behaviour=BEHAVIOUR)
        started = time.monotonic()
        rehearsal.start_campaign(design, window=timedelta(days=13))
        took["start, enrol and plan"] = time.monotonic() - started
        started = time.monotonic()
        rehearsal.run(watch)
        took["deliver and observe"] = time.monotonic() - started
        started = time.monotonic()
        report = rehearsal.report()
        took["report"] = time.monotonic() - started
        return Outcome(
            report=report,
            truth=rehearsal.truth(),
            summary=rehearsal.summary(),
            simulator=rehearsal.simulator_status(),
            most_in_a_week=rehearsal.most_slots_in(timedelta(days=7)),
            seconds=took,
            peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
