"""The newest moments in a copy: whether they are microseconds at all, and how far the copy reaches."""

from collections.abc import Collection, Mapping
from typing import Final

from analysis.warehouse.tables import COLUMNS, OPTIONAL, Copied, Kind, wrong
from experiments.clock import from_micros

FIRST_MICROS: Final = 10**14
"""March 1973. The largest moment of a column lies behind it, unless it counts milliseconds or seconds."""
LAST_MICROS: Final = 10**17
"""The year 5138, which a moment passes that counts nanoseconds."""
_FIRST_MILLIS: Final = 10**11
_BETWEEN: Final = "__"


def largest_moments(names: Mapping[str, Collection[str]]) -> str:
    """The largest moment of each column that facts read, in PostgreSQL's SQL. names: the columns of each table there is."""
    asked = [
        f"(SELECT max({name}) FROM {table}) AS {table}{_BETWEEN}{name}"  # noqa: S608  # names of our own
        for table, kinds in COLUMNS.items()
        for name, kind in kinds.items()
        if kind == Kind.MOMENT and name in names.get(table, ()) and _is_read(table, name)
    ]
    return f"SELECT {', '.join(asked)}"


def reach(largest: Mapping[str, int | None]) -> Copied:
    """How far a copy reaches by its newest rows. Raises Unavailable for moments that are no microseconds."""
    by_place = {tuple(name.split(_BETWEEN)): value for name, value in largest.items() if value is not None}
    for (table, name), value in by_place.items():
        if value and not FIRST_MICROS <= value < LAST_MICROS:
            unit = "milliseconds" if value >= _FIRST_MILLIS else "seconds"
            unit = "nanoseconds" if value >= LAST_MICROS else unit
            raise wrong(
                f"column {name!r} of {table} looks like {unit} (the largest is {value}), and must be {Kind.MOMENT}"
            )
    if ("events", "received_at") in by_place:
        # Devices may say of an event what they like; when it came in is known.
        del by_place["events", "at"]
    return Copied(from_micros(max(by_place.values())) if by_place else None)


def _is_read(table: str, name: str) -> bool:
    """Not what is due: that lies ahead."""
    return name not in OPTIONAL[table] or name == "received_at"
