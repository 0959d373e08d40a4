"""A preview as a person types it."""

import json
from pathlib import Path

from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.integration.people import add_people
from tests.integration.registry import register, template
from tests.integration.test_template_preview import MESSAGE, SPRING


def test_a_preview_of_a_message_in_a_file(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with database.transaction() as session:
        clock = SystemClock()
        add_people(session, clock, range(1, 3), attributes={"first_name": "Ann"})
        add_people(session, clock, range(3, 4))
        register(session, clock, template("spring", "en_US", *SPRING))
    database.dispose()
    file = tmp_path / "message.json"
    file.write_text(json.dumps(MESSAGE))
    run = touchstone("templates", "preview", str(file), "--user", "user-1", "--user", "user-3")
    assert "Hi Ann, a surprise is yours" in run.stdout
    assert "[Shop] https://shop.example/spring" in run.stdout
    assert "! header.text: user.first_name is missing" in run.stdout
    assert "1 of 2 users could not be written to" in run.stdout
    assert "warning: " in run.stderr  # there is no Hebrew
    told = json.loads(touchstone("templates", "preview", str(file), "--json").stdout)
    assert (told["checked"], told["failed"]) == (3, 1)
    assert "sample" in touchstone.fails("templates", "preview", str(file), "--sample", "51")
    assert "no file" in touchstone.fails("templates", "preview", str(tmp_path / "nothing"))
    file.write_text("template: spring")
    assert "belong together" in touchstone.fails("templates", "preview", str(file))
