"""Imports run one way; import-linter proves it from pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_contracts_of_the_floors_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_foreign_keys_obey_the_ladder() -> None:
    from sqlmodel import SQLModel

    from api.tables import TABLE_MODULES

    floors = ["experiments", "targeting", "delivery", "analysis", "api"]
    home = {
        value.__tablename__: floors.index(module.__name__.split(".")[0])
        for module in TABLE_MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SQLModel) and value.__module__ == module.__name__
    }
    for table in SQLModel.metadata.sorted_tables:
        for key in table.foreign_keys:
            assert home[key.column.table.name] <= home[table.name], f"{table.name} -> {key.column.table.name}"
