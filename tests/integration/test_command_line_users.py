"""`touchstone users ..` as it is typed."""

import json
import re
import socket
from pathlib import Path

from tests.integration.command_line import CommandLine
from tests.integration.test_command_line import PEOPLE, write_campaign


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
    assert touchstone("users", "readmit", first).stdout.startswith("free again: 1 of the names\n")
    assert "nobody of this id" in touchstone.fails("users", "readmit", first)


def test_erasing_without_a_secret_is_warned_about(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert touchstone("import", "users", "people.csv").returncode == 0
    weak = touchstone("users", "erase", "a", "--yes")
    assert "TOUCHSTONE_ERASURE_SECRET" in weak.stderr
    assert touchstone("users", "readmit", "a", "--phone", "+12025550101").returncode == 0
    assert touchstone("import", "users", "people.csv").returncode == 0
    assert touchstone("users", "erase", "a", "--yes", TOUCHSTONE_ERASURE_SECRET="s").stderr == ""


def test_a_withdrawal_needs_no_reason_and_a_grant_its_proof(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert touchstone("import", "users", "people.csv").returncode == 0
    assert touchstone("users", "consent", "a", "--withdraw").stdout == "a: marketing withdrawn\n"
    assert "--source: a grant needs it" in touchstone.fails("users", "consent", "a", "--grant")
    assert touchstone("users", "consent", "a", "--grant", "--source", "checkout").returncode == 0
    kept = json.loads(touchstone("users", "export", "a").stdout)
    assert [(each["granted"], each["source"]) for each in kept["consent_ledger"]][-2:] == [
        (False, "command line"),
        (True, "checkout"),
    ]


def test_a_port_that_is_taken_is_one_line(touchstone: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in touchstone.fails("serve", "--port", port)


def test_who_takes_part_and_why_not_is_told(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE + "c,+12025550102,Cy,NL,no\n")
    assert touchstone("import", "users", "people.csv").returncode == 0
    write_campaign(tmp_path)
    assert touchstone("apply", "campaign.yaml").returncode == 0
    assert "has not begun" in touchstone("experiment", "enrolment", "spring-wakeup").stdout
    assert touchstone("experiment", "start", "spring-wakeup").returncode == 0
    assert touchstone("run", "plan").returncode == 0
    told = touchstone("experiment", "enrolment", "spring-wakeup").stdout
    assert re.search(r"left out: consent\W+1\b", told), told
    assert "everybody was looked at" in told


def test_who_comes_by_and_by_is_told_from_the_start(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert touchstone("import", "users", "people.csv").returncode == 0
    write_campaign(tmp_path, trigger={"type": "event", "event": "Signed Up"})
    assert touchstone("apply", "campaign.yaml").returncode == 0
    assert "has not begun" in touchstone("experiment", "enrolment", "spring-wakeup").stdout
    assert touchstone("experiment", "start", "spring-wakeup").returncode == 0
    told = touchstone("experiment", "enrolment", "spring-wakeup").stdout
    assert re.search(r"assigned\W+0\b", told), told
    assert "users come by and by" in told


def test_a_condition_is_read_where_no_database_was_yet(touchstone: CommandLine, tmp_path: Path) -> None:
    read = touchstone("condition", "age > 3")
    assert (read.returncode, read.stdout.splitlines()[0]) == (0, '{"age": {"$gt": 3}}'), read
    assert list(tmp_path.iterdir()) == []


def test_why_is_told_in_sentences_and_field_by_field(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert touchstone("import", "users", "people.csv").returncode == 0
    first = PEOPLE.splitlines()[1].split(",")[0]
    assert touchstone("users", "why", first).stdout == "takes part in no experiment, and none is running\n"
    assert "there is no user" in touchstone.fails("users", "why", "nobody")
    write_campaign(tmp_path)
    key = "spring-wakeup"
    assert touchstone("apply", "campaign.yaml").returncode == 0
    told = touchstone("users", "why", first, "--experiment", key).stdout
    assert told.startswith(f"{key} (draft): not_started. The experiment has not been started.")
    assert touchstone("experiment", "start", key).returncode == 0
    (found,) = json.loads(touchstone("users", "why", first, "--json").stdout)["experiments"]
    assert found["experiment"] == key
    assert found["because"] in touchstone("users", "why", first).stdout
