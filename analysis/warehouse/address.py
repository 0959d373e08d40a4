"""Which copy a URL means: `duckdb:///FOLDER`, `duckdb:///FILE.duckdb`, `spark:///FOLDER`, `spark://HOST:PORT/FOLDER`.

As in `sqlite:///FILE`, a path after three slashes begins where the process runs, and one after four at the root.
"""

from pathlib import Path

from sqlalchemy import URL

from analysis.warehouse.duckdb_facts import DuckDbFile, DuckDbFolder
from analysis.warehouse.spark_facts import SparkFacts
from analysis.warehouse.tables import SETTING
from experiments.errors import Invalid

FILES = (".duckdb", ".ddb", ".db")

Warehouse = DuckDbFile | DuckDbFolder | SparkFacts


def open_warehouse(url: URL) -> Warehouse:
    """The engine that a URL of `duckdb` or `spark` names; nothing is read yet. Raises Invalid for what it cannot mean."""
    scheme = url.drivername
    if not url.database or url.database == ":memory:":
        raise Invalid(
            f"names no folder: write {scheme}:///FOLDER (four slashes for a path from the root)",
            field=SETTING,
        )
    if url.query or url.username or url.password:
        raise Invalid(f"{scheme} takes no user, password or options: write {scheme}:///FOLDER", field=SETTING)
    if scheme == "spark":
        if url.host is None:
            return SparkFacts(Path(url.database))
        # Behind a host there is no place to begin at but the root.
        return SparkFacts(Path("/") / url.database, master=f"spark://{url.host}:{url.port or 7077}")
    if url.host is not None:
        raise Invalid(
            "duckdb reads files here, not on a host: write duckdb:///FOLDER or duckdb:////FOLDER",
            field=SETTING,
        )
    place = Path(url.database)
    if place.suffix in FILES and not place.is_dir():
        return DuckDbFile(place)
    return DuckDbFolder(place)
