"""`touchstone users ..` as it is typed."""

import json
from pathlib import Path

from tests.integration.command_line import CommandLine
from tests.integration.test_command_line import PEOPLE


def test_a_person_is_copied_erased_and_readmitted(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert touchstone("import", "users", "people.csv").returncode == 0
    first = PEOPLE.splitlines()[1].split(",")[0]
    copy = json.loads(touchstone("users", "export", first).stdout)
    assert copy["user"]["user_id"] == first
    assert touchstone("users", "export", first, "--to", "copy.json").stdout == "wrote copy.json\n"
    assert json.loads((tmp_path / "copy.json").read_text()) == copy
    assert "erased:" in touchstone("users", "erase", first, "--yes").stdout
    assert "there is no user" in touchstone.fails("users", "export", first)
    assert touchstone("users", "readmit", first).stdout == "1 names are free again\n"
    assert "nobody of this id" in touchstone.fails("users", "readmit", first)
