"""A SQLite file is made by who means to, and one process at a time runs its jobs; a killed one leaves no lock behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.sqlite_file import sole_sender
from api.wiring import Wiring
from experiments.database import Database
from experiments.errors import Conflict
from tests.integration.command_line import CommandLine


@contextmanager
def _worker() -> Iterator[subprocess.Popen[str]]:
    """A worker over the database of the environment, once it says that it works."""
    started = subprocess.Popen(
        [sys.executable, "-m", "api", "worker"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert started.stdout is not None
    try:
        assert started.stdout.readline().startswith("worker ")
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


@pytest.mark.parametrize("command", [("worker",), ("serve", "--port", "0")])
def test_a_second_process_on_one_file_is_refused_in_one_line(
    touchstone: CommandLine, command: tuple[str, ...]
) -> None:
    with _worker():
        refused = touchstone.fails(*command)
        assert "already works on" in refused
        assert "PostgreSQL" in refused
        # Who does one job and ends, and who only looks, may all the same.
        assert touchstone("run", "project-webhooks").returncode == 0
        assert touchstone("delivery", "breakers").returncode == 0


@pytest.mark.usefixtures("touchstone")  # for its environment
def test_a_killed_worker_leaves_no_lock(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with _worker() as first:
        with pytest.raises(Conflict), sole_sender(database):
            pass
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        with sole_sender(database), _no_other(database):
            pass
    database.dispose()


@contextmanager
def _no_other(database: Database) -> Iterator[None]:
    with pytest.raises(Conflict), sole_sender(database):
        pass
    yield


def test_on_postgresql_any_number_may_work(postgres_url: str) -> None:
    database = Database(postgres_url)
    with sole_sender(database), sole_sender(database):
        pass
    database.dispose()


@pytest.mark.parametrize(
    "command",
    [
        ("experiment", "list"),
        ("users", "why", "u1"),
        ("delivery", "breakers"),
        ("delivery", "pause", "why"),
        ("keys", "list"),
        ("run", "plan"),
    ],
    ids=" ".join,
)
def test_asking_in_a_folder_without_a_database_makes_none(
    touchstone: CommandLine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    said = touchstone.fails(*command)
    assert f"there is no database at sqlite:///{tmp_path}/touchstone.db" in said
    assert "`touchstone serve` or `touchstone migrate`" in said
    assert list(tmp_path.iterdir()) == []


def test_who_means_to_makes_one(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("keys", "create", "--scope", "admin").returncode == 0
    assert (tmp_path / "touchstone.db").exists()
    assert touchstone("experiment", "list").returncode == 0
    Wiring.from_environment().prepare_database()
