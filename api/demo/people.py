"""Made-up people. Their phone numbers come from the range +1 NXX 555 0100 to 0199, which is reserved for fiction."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from experiments.clock import format_moment
from experiments.errors import Invalid

LINES_PER_AREA: Final = 100
AREAS: Final = 800
MOST_PEOPLE: Final = LINES_PER_AREA * AREAS
FIRST_NAMES: Final = (
    *("Ana", "Bram", "Chloe", "Diego", "Emma", "Femke", "Gustavo", "Hannah", "Isabela", "Jan"),
    *("Keisha", "Lucas", "Maria", "Noor", "Oliver", "Priya", "Quinn", "Rosa", "Sven", "Tess"),
)
PLACES: Final = (
    *(("NL", "Europe/Amsterdam", "nl_NL"), ("BR", "America/Sao_Paulo", "pt_BR")),
    *(("GB", "Europe/London", "en_GB"), ("US", "America/New_York", "en_US"), ("FR", "Europe/Paris", "fr_FR")),
)


def fictional_phone(number: int) -> str:
    """The `number`-th of 80,000 distinct phone numbers reserved for fiction, E.164; raises Invalid beyond.

    >>> fictional_phone(0), fictional_phone(101)
    ('+12005550100', '+12015550101')
    """
    if not 0 <= number < MOST_PEOPLE:
        raise Invalid(f"only {MOST_PEOPLE} phone numbers are reserved for fiction; ask for fewer people")
    area, line = divmod(number, LINES_PER_AREA)
    return f"+1{200 + area}55501{line:02d}"


def make_people(count: int, *, now: datetime, rng: np.random.Generator) -> Iterator[dict[str, str]]:
    """Rows of a CRM export: who, where, when last seen to buy, and whether they agreed to marketing (9 in 10 did)."""
    for i in range(count):
        country, zone, locale = PLACES[int(rng.integers(len(PLACES)))]
        quiet = timedelta(days=float(rng.integers(20, 400)))
        yield {
            "user_id": f"u{i:06d}",
            "phone": fictional_phone(i),
            "first_name": FIRST_NAMES[int(rng.integers(len(FIRST_NAMES)))],
            "country": country,
            "time_zone": zone,
            "locale": locale,
            "age": str(int(rng.integers(18, 80))),
            "last_order_at": format_moment((now - quiet).replace(microsecond=0)),
            "consent_marketing": "yes" if rng.random() < 0.9 else "no",
        }


def write_people(path: Path, count: int, *, now: datetime, rng: np.random.Generator) -> Sequence[str]:
    """Write them as CSV; returns the columns."""
    rows = make_people(count, now=now, rng=rng)
    first = next(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)
    return list(first)
