"""`touchstone import users` and `touchstone pulls ..` as a person types them."""

import io
import json
import re
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.command_line import CommandLine

FILE = 'no;mobile;sum\n1;+12025550101;"1,5"\n2;;x\n'
MAPPING = """\
user_id: no
phone: mobile
attributes:
  spent: {column: sum, type: number, decimal: ","}
"""
PULL = """\
key: crm
source: crm
query: SELECT id, plan FROM people
mapping: {user_id: id}
every: 2h
"""


DOCS = Path(__file__).resolve().parents[2] / "docs" / "imports.md"


def block_after(page: str, words: str) -> str:
    """The first indented block behind these words."""
    lines = page[page.index(words) :].splitlines()[1:]
    start = next(at for at, line in enumerate(lines) if line.startswith("    "))
    end = next(at for at, line in enumerate(lines) if at > start and not line.startswith("    "))
    return "\n".join(line[4:] for line in lines[start:end]) + "\n"


def test_the_documented_example_says_what_comes_of_it(touchstone: CommandLine, tmp_path: Path) -> None:
    page = DOCS.read_text()
    (tmp_path / "crm.csv").write_text(block_after(page, "The CRM of a shop"))
    (tmp_path / "crm.yaml").write_text(block_after(page, "`crm.yaml` says"))
    command, *rows, again = block_after(page, "First look").splitlines()
    assert len(rows) == 2
    printed = touchstone(*command.removeprefix("$ touchstone ").split()).stdout.splitlines()
    assert printed[:2] == rows
    assert touchstone(*again.removeprefix("$ touchstone ").split()).returncode == 0


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["a", "b"], "age": [1, 2]}), sink)
    return sink.getvalue()


def test_an_import_that_takes_nobody_fails(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("user_id,phone\na,+1,x\nb,+1,x\n")
    run = touchstone("import", "users", "wrong.csv")
    assert run.returncode == 1
    assert run.stderr.endswith("2 rows were rejected; see wrong.csv.rejects.csv\n")
    (tmp_path / "some.csv").write_text("user_id\na\nb,x\n")
    assert touchstone("import", "users", "some.csv").returncode == 0


def test_a_mapping_file_is_rehearsed_and_then_used(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "crm.csv").write_text(FILE)
    (tmp_path / "crm.yaml").write_text(MAPPING)
    rehearsed = touchstone("import", "users", "crm.csv", "--mapping", "crm.yaml", "--dry-run")
    assert '"attributes": {"spent": 1.5}' in rehearsed.stdout
    assert "'x' is not a number" in rehearsed.stdout
    assert "nothing was written" in rehearsed.stderr
    assert "dry run of crm.csv" in rehearsed.stdout
    assert "would be rejected: 1 of 2 rows" in rehearsed.stdout
    assert re.search(r"│ +rejected +│ +1 +│", rehearsed.stdout), rehearsed.stdout
    assert not (tmp_path / "crm.csv.rejects.csv").exists()
    printed = touchstone("import", "users", "crm.csv", "--mapping", "crm.yaml", "--source", "crm")
    assert "1 row (50 %) not taken for sum" in printed.stdout
    assert "Nothing to compare with" in printed.stdout
    assert (tmp_path / "crm.csv.rejects.csv").exists()
    again = touchstone("import", "users", "crm.csv", "--mapping", "crm.yaml", "--source", "crm")
    assert "Much as it was last time" in again.stdout
    wrong = ("import", "users", "crm.csv", "--mapping", "crm.yaml", "--map", "phone=mobil")
    assert "mapping.phone: the file has no column 'mobil'; did you mean 'mobile'?" in touchstone.fails(*wrong)
    assert "there is no file none.yaml" in touchstone.fails(
        "import", "users", "crm.csv", "--mapping", "none.yaml"
    )


def test_parquet_is_told_by_its_name(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.parquet").write_bytes(parquet())
    assert touchstone("import", "users", "people.parquet").returncode == 0
    (tmp_path / "people.data").write_bytes(parquet())
    assert touchstone("import", "users", "people.data", "--format", "parquet").returncode == 0
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert "is not a Parquet file that can be read" in touchstone.fails("import", "users", "broken.parquet")


def test_pulls_from_put_to_run(touchstone: CommandLine, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "crm.db")
    connection.execute("CREATE TABLE people (id TEXT, plan TEXT)")
    connection.execute("INSERT INTO people VALUES ('u1', 'gold'), (NULL, 'none')")
    connection.commit()
    connection.close()
    sources = {"TOUCHSTONE_SOURCES": json.dumps({"crm": f"sqlite:///{tmp_path}/crm.db"})}
    (tmp_path / "pull.yaml").write_text(PULL)
    assert "there are: none" in touchstone.fails("pulls", "put", "pull.yaml")
    assert touchstone("pulls", "put", "pull.yaml", **sources).stdout == "crm: runs at the next tick\n"
    listed = touchstone("pulls", "list").stdout
    assert "2h" in listed
    assert "crm.db" not in listed
    run = touchstone("pulls", "run", "crm", "--rejects", "rejects.csv", **sources)
    assert run.stdout.startswith("crm: 2 rows, 1 created, 0 updated, 1 rejected\n")
    assert "is missing" in (tmp_path / "rejects.csv").read_text()
    assert touchstone("run", "pull-sources", **sources).stdout == "pull-sources: Pulled(done=0, failed=0)\n"
    (tmp_path / "wrong.yaml").write_text("key: crm\nsource: crm\n")
    assert "query: Field required" in touchstone.fails("pulls", "put", "wrong.yaml", **sources)
    assert "there is no pull 'other'" in touchstone.fails("pulls", "run", "other", **sources)
