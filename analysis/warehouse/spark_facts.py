"""Facts from Spark: a folder of Parquet or CSV files, read by Spark on this machine or on a cluster. pyspark is not ours to bring."""

import importlib.util
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Select

from analysis.warehouse import folder as folders
from analysis.warehouse.folder import FolderCopy
from analysis.warehouse.moments_facts import largest_moments, reach
from analysis.warehouse.tables import COLUMNS, MARK, SETTING, Copied, Found, Kind, check_table, wrong
from analysis.warehouse.translation import translate, write
from experiments.errors import Invalid

ENGINE: Final = "spark"
LOCAL: Final = "local[*]"
_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INTEGER: "BIGINT",
    Kind.MOMENT: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.FLAG: "BOOLEAN",
    Kind.TEXT: "STRING",
    Kind.DOCUMENT: "STRING",
}
_KINDS: Final[Mapping[str, frozenset[Kind]]] = {
    **dict.fromkeys(
        ("tinyint", "smallint", "int", "bigint"), frozenset({Kind.INTEGER, Kind.MOMENT, Kind.NUMBER})
    ),
    **dict.fromkeys(("float", "double"), frozenset({Kind.NUMBER})),
    "boolean": frozenset({Kind.FLAG}),
    "string": frozenset({Kind.TEXT, Kind.DOCUMENT}),
}


class SparkFacts:
    """The tables of a folder, as they are at each query, asked through Spark's SQL.

    master: where Spark runs; `LOCAL` is inside this process. Every machine of a cluster must see the folder at the same path.
    """

    def __init__(self, folder: Path, *, master: str = LOCAL) -> None:
        if importlib.util.find_spec("pyspark") is None:
            raise Invalid(
                "asks for Spark, which needs pyspark and Java 17: pip install 'pyspark>=4'", field=SETTING
            )
        self._folder, self._master = folder, master
        self._lock = threading.Lock()
        self._state: object = None
        self._copied = Copied(None)

    def fetch(self, query: Select[Any]) -> Sequence[Mapping[str, Any]]:
        translated = translate(query, ENGINE)
        with _one_line(self._folder), self._lock:
            self._refresh()
            return [row.asDict() for row in self._session.sql(translated).collect()]

    def copied(self) -> Copied:
        """How far the copy reaches: by its manifest, else by its newest row."""
        with _one_line(self._folder), self._lock:
            self._refresh()
            return self._copied

    def dispose(self) -> None:
        """End Spark, if it was ever started."""
        with self._lock:
            if "_session" in self.__dict__:
                self._session.stop()
                del self.__dict__["_session"]
                self._state = None

    @cached_property
    def _session(self) -> Any:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master(self._master).appName("touchstone facts")
        for name, value in {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            # Names of columns are told apart and text is compared letter by letter, as everywhere else.
            "spark.sql.caseSensitive": "true",
            "spark.sql.session.timeZone": "UTC",
        }.items():
            builder = builder.config(name, value)
        if self._master == LOCAL:
            builder = builder.config("spark.driver.host", "127.0.0.1").config(
                "spark.driver.bindAddress", "127.0.0.1"
            )
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        return session

    def _refresh(self) -> None:
        found = folders.look(self._folder)
        if found.state == self._state:
            return
        names: dict[str, list[str]] = {}
        for table, file in found.files.items():
            frame = self._frame(table, file, found)
            check_table(table, file.name, [Found(n, t, _KINDS.get(t, frozenset())) for n, t in frame.dtypes])
            frame.createOrReplaceTempView(table)
            names[table] = list(frame.columns)
        reached = reach(self._session.sql(write(largest_moments(names), ENGINE)).collect()[0].asDict())
        self._copied = found.copied or reached
        self._state = found.state

    def _frame(self, table: str, file: Path, found: FolderCopy) -> Any:
        place = f"file://{file.resolve()}"
        # Spark keeps what it knows of a path; the file there may be another one by now.
        self._session.catalog.refreshByPath(place)
        if found.format == "parquet":
            return self._session.read.parquet(place)
        options = {
            "header": "true",
            "escape": '"',
            "multiLine": "true",
            "mode": "FAILFAST",
            "encoding": "UTF-8",
        }
        header = self._session.read.options(**options).csv(place).columns
        kinds = {name: COLUMNS[table].get(name, Kind.TEXT) for name in header}
        schema = ", ".join(f"{_name(name)} {_TYPES[kind]}" for name, kind in kinds.items())
        frame = self._session.read.options(**options, enforceSchema="false").schema(schema).csv(place)
        if not found.neutralised:
            return frame
        return frame.selectExpr(*(_unmarked(n) if k == Kind.TEXT else _name(n) for n, k in kinds.items()))


def _unmarked(name: str) -> str:
    """A text as it was before an export marked it against spreadsheets."""
    column = _name(name)
    return f'CASE WHEN startswith({column}, "{MARK}") THEN substr({column}, 2) ELSE {column} END AS {column}'


def _name(column: str) -> str:
    return "`" + column.replace("`", "``") + "`"


@contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """What Spark says, as one line of ours; it says it on very many."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise wrong(f"Spark on {folder}: {first}") from error
