"""The 64,000 rows as a CRM export: their attributes are theirs; ids, phones, time zones and consent are made up, always the same.

Row i becomes user `h000000i` with the i-th phone number that is reserved for fiction (+1 NXX 555 01XX). Consent is
decided by a hash of the row's number: 95 in 100 agreed. The outcomes of 2008 (visit, conversion, spend, and the arm)
are left out: a campaign may not know them.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from api.demo.people import fictional_phone

ATTRIBUTES: Final = (
    "recency",
    "history_segment",
    "history",
    "mens",
    "womens",
    "zip_code",
    "newbie",
    "channel",
)
ZONES: Final = {"Urban": "America/New_York", "Surburban": "America/Chicago", "Rural": "America/Denver"}
AGREED_PERCENT: Final = 95


def agreed(number: int) -> bool:
    """Whether the made-up consent of row `number` is a yes; the same on every machine."""
    return hashlib.sha256(f"consent:{number}".encode()).digest()[0] * 100 < AGREED_PERCENT * 256


def crm_rows(source: Path, *, limit: int | None = None) -> Iterator[dict[str, str]]:
    """The rows of the file, each as a customer of a CRM."""
    with source.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(islice(csv.DictReader(file), limit)):
            yield {
                "user_id": f"h{number:07d}",
                "phone": fictional_phone(number),
                "time_zone": ZONES.get(row["zip_code"], "America/New_York"),
                "consent_marketing": "yes" if agreed(number) else "no",
                **{name: row[name] for name in ATTRIBUTES},
            }


def write_people(source: Path, folder: Path, *, limit: int | None = None) -> tuple[Path, Path]:
    """Write `people.csv` (to import) and `world.jsonl` (for the simulator) into `folder`; returns both paths."""
    crm, world = folder / "people.csv", folder / "world.jsonl"
    with crm.open("w", newline="", encoding="utf-8") as people, world.open("w", encoding="utf-8") as known:
        writer: csv.DictWriter[str] | None = None
        for row in crm_rows(source, limit=limit):
            if writer is None:
                writer = csv.DictWriter(people, list(row))
                writer.writeheader()
            writer.writerow(row)
            known.write(json.dumps({"user_id": row["user_id"], "phone": row["phone"]}) + "\n")
    return crm, world


def generate(target: Path, count: int, *, rng: np.random.Generator) -> None:
    """A made-up file of the same shape, for where the real one is absent."""
    visit_rates = {"Mens E-Mail": 0.183, "Womens E-Mail": 0.151, "No E-Mail": 0.106}
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*ATTRIBUTES, "treatment", "conversion", "visit", "spend"])
        for _ in range(count):
            arm = str(rng.choice(list(visit_rates)))
            visit = int(rng.random() < visit_rates[arm])
            conversion = int(visit and rng.random() < 0.06)
            spend = round(float(rng.lognormal(4.3, 0.8)), 2) if conversion else 0.0
            place = str(rng.choice(["Surburban", "Urban", "Rural"]))
            channel = str(rng.choice(["Phone", "Web", "Multichannel"]))
            history = round(float(rng.lognormal(5, 0.9)), 2)
            flags = [int(flag) for flag in rng.integers(0, 2, 3)]
            recency = int(rng.integers(1, 13))
            writer.writerow(
                [
                    recency,
                    "1) $0 - $100",
                    history,
                    flags[0],
                    flags[1],
                    place,
                    flags[2],
                    channel,
                    arm,
                    conversion,
                    visit,
                    spend,
                ]
            )
