"""`touchstone segments` and `touchstone attributes`, as somebody types them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api import migrations
from api.cli import app
from experiments.clock import SteppedClock, SystemClock
from experiments.database import Database
from experiments.errors import Invalid, NotFound, TouchstoneError
from tests.integration.crowd import add_crowd


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{tmp_path / 'segments.db'}"
    monkeypatch.setenv("TOUCHSTONE_DATABASE_URL", url)
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        add_crowd(session, SteppedClock(SystemClock().now()))
    database.dispose()

    def typed(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        if isinstance(result.exception, TouchstoneError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return typed


def test_a_segment_is_put_previewed_refreshed_compared_tagged_and_deleted(run) -> None:
    assert '{"age": {"$gte": 18}}' in run("segments", "put", "adults", "age >= 18", "--name", "Adults")
    assert run("segments", "preview", '{"plan": "plan-1"}', "--sample", "1").startswith("15 users (exactly)")
    assert "0 left" in run("segments", "refresh", "adults")
    assert "both / either" in run("segments", "overlap", "adults", "vips")
    assert "15 users" in run("segments", "tag", "vips", "gold")
    shown = run("segments", "list")
    assert "adults" in shown
    assert "condition" in shown
    assert run("segments", "delete", "adults") == "deleted adults\n"
    with pytest.raises(NotFound):
        run("segments", "delete", "adults")
    with pytest.raises(Invalid, match="line 1, column"):
        run("segments", "preview", "{age >")


def test_a_list_is_filled_from_a_file_again_and_again(run, tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("user_id\nuser-1\nghost\nuser-2\n")
    run("segments", "put", "staff")
    assert "2 members; 2 added" in run("segments", "import", "staff", str(file))
    assert "ghost" in (tmp_path / "staff.csv.rejects.csv").read_text()
    assert "2 members; 0 added, 2 there already" in run("segments", "import", "staff", str(file))
    file.write_text("user-2\n")
    assert "1 members; 0 added, 1 there already, 1 removed" in run(
        "segments", "import", "staff", str(file), "--replace"
    )
    assert not (tmp_path / "staff.csv.rejects.csv").exists()
    with pytest.raises(NotFound, match="no file"):
        run("segments", "import", "staff", str(tmp_path / "nope.csv"))


def test_attributes_are_discovered_and_indexed(run) -> None:
    assert "plan: indexed" in run("attributes", "index", "plan")
    shown = run("attributes", "list")
    assert "plan-1" in shown
    assert "yes" in shown
    assert "plan: no index" in run("attributes", "index", "plan", "--drop")
