"""The command line as a person types it: real exit statuses, errors of one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from delivery.models import Breaker, WebhookBody
from examples.hillstrom.people import generate
from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.unit.experiments.test_design import CAMPAIGN

PEOPLE = "user_id,phone,first_name,country,consent_marketing\na,+12025550101,Ann,NL,yes\nb,12,Bob,NL,yes\n"


def write_campaign(folder: Path, **changes: object) -> Path:
    file = folder / "campaign.yaml"
    audience = {"condition": {"country": "NL"}}
    file.write_text(
        yaml.safe_dump({**CAMPAIGN, "audience": audience, "trigger": {"type": "once"}, **changes})
    )
    return file


def test_from_a_file_of_people_to_a_running_campaign(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    imported = touchstone("import", "users", "people.csv")
    assert imported.returncode == 0, imported.stderr
    assert "1 rows were rejected" in imported.stderr
    assert "phone" in (tmp_path / "people.csv.rejects.csv").read_text()
    write_campaign(tmp_path)
    assert touchstone("apply", "campaign.yaml").stdout == "spring-wakeup: created (draft)\n"
    assert touchstone("apply", "campaign.yaml").stdout == "spring-wakeup: unchanged (draft)\n"
    write_campaign(tmp_path, name="Another name")
    assert touchstone("apply", "campaign.yaml").stdout == "spring-wakeup: changed (draft)\n"
    started = touchstone("experiment", "start", "spring-wakeup")
    assert started.stdout == "spring-wakeup: running\n"
    assert "no process enrols or sends at the moment; start `touchstone serve`" in started.stderr
    assert "cannot start an experiment that is running" in touchstone.fails(
        "experiment", "start", "spring-wakeup"
    )
    assert "assigned=1" in touchstone("run", "plan").stdout
    report = touchstone("experiment", "report", "spring-wakeup", "--json")
    assert sum(arm["assigned"] for arm in json.loads(report.stdout)["arms"]) <= 1
    assert "running" in touchstone("experiment", "list").stdout
    for move, status in [("pause", "paused"), ("resume", "running"), ("stop", "stopped")]:
        assert touchstone("experiment", move, "spring-wakeup").stdout == f"spring-wakeup: {status}\n"


def test_keys_are_made_listed_and_revoked(touchstone: CommandLine) -> None:
    key = touchstone("keys", "create", "--scope", "admin", "--name", "me").stdout.strip()
    prefix, secret = key.split("_", 2)[1:]
    listed = touchstone("keys", "list").stdout
    assert prefix in listed
    assert secret not in listed
    assert touchstone("keys", "revoke", prefix).stdout == f"revoked {prefix}\n"
    assert "there is no key" in touchstone.fails("keys", "revoke", "nothing")


def test_a_running_campaign_is_ramped_and_never_back(touchstone: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE)
    touchstone("import", "users", "people.csv")
    write_campaign(tmp_path, audience={"condition": {"country": "NL"}, "coverage": 0.25})
    touchstone("apply", "campaign.yaml")
    assert "redesign the draft" in touchstone.fails("ramp", "spring-wakeup", "0.5")
    touchstone("experiment", "start", "spring-wakeup")
    touchstone("run", "plan")
    assert touchstone("ramp", "spring-wakeup", "1").stdout == "spring-wakeup: coverage 1\n"
    assert "cannot be lowered" in touchstone.fails("ramp", "spring-wakeup", "0.5")
    touchstone("run", "plan")
    report = json.loads(touchstone("experiment", "report", "spring-wakeup", "--json").stdout)
    assert sum(arm["assigned"] for arm in report["arms"]) == 1
    shown = touchstone("delivery", "summary", "--experiment", "spring-wakeup").stdout
    assert "hold" in shown
    assert "waiting: " in shown
    books = json.loads(touchstone("delivery", "summary", "--json").stdout)
    assert books["experiments"][0]["experiment"] == "spring-wakeup"
    assert "no experiment 'nowhere'" in touchstone.fails("delivery", "summary", "--experiment", "nowhere")


def test_an_open_fuse_is_shown_and_closed_by_hand(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with database.transaction() as session:
        now = SystemClock().now()
        session.add(Breaker(kind="number", key="123", opened_at=now, error_code=190, reason="wrong token"))
    database.dispose()
    assert "wrong token" in touchstone("delivery", "breakers").stdout
    assert "open fuse: number 123: wrong token" in touchstone("delivery", "summary").stdout
    assert "fuses still open, which hold messages back: 1" in touchstone("delivery", "resume").stdout
    assert touchstone("delivery", "close", "number", "123").stdout == "closed number 123\n"
    assert "wrong token" not in touchstone("delivery", "breakers").stdout
    assert "no breaker number '123' is open" in touchstone.fails("delivery", "close", "number", "123")


def test_everything_is_paused_and_resumed_and_the_inbox_looked_at(touchstone: CommandLine) -> None:
    assert touchstone("migrate").returncode == 0
    first = touchstone("delivery", "pause", "wrong price").stdout
    assert first.startswith("paused since ")
    assert first.endswith(": wrong price\n")
    again = touchstone("delivery", "pause", "another").stdout
    assert again == f"was already {first.strip()} (this reason is kept)\n"
    assert "wrong price" in touchstone("delivery", "breakers").stdout
    assert "say why" in touchstone.fails("delivery", "pause", " ")
    assert touchstone("delivery", "resume").stdout == "resumed; was paused for: wrong price\n"
    assert touchstone("delivery", "resume").stdout == "was not paused\n"
    assert "wrong price" not in touchstone("delivery", "breakers").stdout
    assert "0 waiting, 0 with an error, 0 unmatched" in touchstone("delivery", "webhooks").stdout
    assert "people in 24 h" in touchstone("delivery", "numbers").stdout


def test_webhooks_that_need_a_look_are_listed_with_why_and_shown_without_numbers(
    touchstone: CommandLine, tmp_path: Path
) -> None:
    assert touchstone("migrate").returncode == 0
    assert touchstone("delivery", "breakers").returncode == 0
    database, now = Database(f"sqlite:///{tmp_path}/touchstone.db"), SystemClock().now()
    seen: dict[str, Any] = {"received_at": now, "projected_at": now}
    left = {"status": "sent", "at": None, "error_code": None, "wamid": "w"}
    with database.transaction() as session:
        session.add(WebhookBody(id=1, body=b'{"from": "12025550111"}', **seen))
        session.add(WebhookBody(id=2, body=b"{", error="no [JSON]", **seen))
        session.add(WebhookBody(id=3, body=b"{}", received_at=now))
        session.add(WebhookBody(id=4, body=b"{}", received_at=now, unmatched=[left]))
        session.add(WebhookBody(id=5, body=b"{}", other="reaction", **seen))
    database.dispose()
    listed = touchstone("delivery", "webhooks").stdout
    for why in ("no [JSON]", "not looked at yet", "unknown messages: 1, still", "made of: reaction"):
        assert why in listed
    assert "1 with an error, 1 unmatched, 1 reaction" in listed
    waiting = touchstone("delivery", "webhooks", "--state", "waiting", "--limit", "1").stdout
    assert "there may be more: --after 3" in waiting
    assert "no [JSON]" not in waiting
    assert touchstone("delivery", "webhooks", "show", "1").stdout == '{\n  "from": "…11"\n}\n'
    assert "there is no webhook 9" in touchstone.fails("delivery", "webhooks", "show", "9")


def test_errors_are_one_line_that_says_what_to_do(touchstone: CommandLine, tmp_path: Path) -> None:
    assert "there is no file nowhere.csv" in touchstone.fails("import", "users", "nowhere.csv")
    (tmp_path / "people.csv").write_text(PEOPLE)
    assert "--map: write FIELD=COLUMN" in touchstone.fails("import", "users", "people.csv", "--map", "phone")
    assert "mapping.phone" in touchstone.fails("import", "users", "people.csv", "--map", "phone=mobil")
    write_campaign(tmp_path, name="")
    assert "name: " in touchstone.fails("apply", "campaign.yaml")
    (tmp_path / "campaign.yaml").write_text("{")
    assert "not valid YAML" in touchstone.fails("apply", "campaign.yaml")
    for depth in (70, 400, 10_000):
        deep = '{"$not": ' * depth + "{}" + "}" * depth
        Path("campaign.yaml").write_text(f"key: deep\naudience: {{condition: {deep}}}\n")
        refused = touchstone.fails("apply", "campaign.yaml")
        assert "at most 20 levels deep" in refused or "nested too deeply" in refused
    assert "there is no experiment 'x'" in touchstone.fails("experiment", "start", "x")
    assert "there is no job" in touchstone.fails("run", "everything")
    assert "TOUCHSTONE_TICK: " in touchstone.fails("experiment", "list", TOUCHSTONE_TICK="soon")
    nowhere = "postgresql://127.0.0.1:1/x"
    assert "does not answer" in touchstone.fails("experiment", "list", TOUCHSTONE_DATABASE_URL=nowhere)


def test_nothing_is_sent_to_an_unsafe_or_unset_address(touchstone: CommandLine) -> None:
    assert touchstone("migrate").returncode == 0
    assert "TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID" in touchstone.fails("run", "dispatch")
    settings = {
        "TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID": "1",
        "TOUCHSTONE_WHATSAPP_TOKEN": "t",
        "TOUCHSTONE_WHATSAPP_LOOPBACK_ONLY": "true",
    }
    assert "not this machine" in touchstone.fails("run", "dispatch", **settings)


def test_analyze_prints_a_report_or_its_json(touchstone: CommandLine, tmp_path: Path) -> None:
    generate(tmp_path / "mail.csv", 4000, rng=np.random.default_rng(3))
    command = (
        "analyze",
        "mail.csv",
        "--variant",
        "treatment",
        "--control",
        "No E-Mail",
        "--metric",
        "visit=proportion:visit",
    )
    said = touchstone(*command)
    assert said.returncode == 0, said.stderr
    assert "Mens E-Mail" in said.stdout
    report = json.loads(touchstone(*command, "--json").stdout)
    assert [effect["control"] for effect in report["metrics"][0]["effects"]] == ["No E-Mail"] * 2
    uneven = json.loads(
        touchstone(
            *command,
            "--json",
            "--weight",
            "No E-Mail=8",
            "--weight",
            "Mens E-Mail=1",
            "--weight",
            "Womens E-Mail=1",
        ).stdout
    )
    assert (report["health"][0]["ok"], uneven["health"][0]["ok"]) == (True, False)
    assert "--control" in touchstone.fails(*command[:4], "--control", "x", *command[6:])
    assert "visits" in touchstone.fails(*command[:6], "--metric", "visit=proportion:visits")
    assert "--weight" in touchstone.fails(*command, "--weight", "A")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("analyze",), "Missing argument 'file'; see touchstone analyze --help"),
        (("keys", "create", "--scope", "everything"), "'--scope'"),
        (("serve", "--port", "http"), "'--port'"),
        (("serve", "--prot", "1"), "--prot"),
        (("keys", "frobnicate"), "'frobnicate'; see touchstone keys --help"),
        (("frobnicate",), "'frobnicate'"),
    ],
)
def test_what_is_typed_wrong_is_said_in_one_line_with_status_2(
    touchstone: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    run = touchstone(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("touchstone: ")
    assert run.stderr.count("\n") == 1
    assert words in run.stderr


def test_a_family_of_commands_by_itself_shows_its_help(touchstone: CommandLine) -> None:
    run = touchstone("keys")
    assert (run.returncode, run.stderr) == (2, "")
    assert "create" in run.stdout


def test_analyze_gives_the_published_numbers_on_the_real_data(touchstone: CommandLine, shared: Path) -> None:
    """Numbers of the 2008 experiment, computed independently (Welch, 95 %)."""
    metrics = ("visit=proportion:visit", "conversion=proportion:conversion", "spend=mean:spend")
    options = [part for metric in metrics for part in ("--metric", metric)]
    file = str(shared / "data/hillstrom.csv")
    run = touchstone("analyze", file, "--variant", "treatment", "--control", "No E-Mail", *options, "--json")
    effects = {
        (metric["metric"], effect["variant"]): effect
        for metric in json.loads(run.stdout)["metrics"]
        for effect in metric["effects"]
    }
    expected = {
        ("visit", "Mens E-Mail"): (0.07658956, 0.06995315, 0.08322598),
        ("spend", "Mens E-Mail"): (0.76982716, 0.48513973, 1.05451458),
        ("spend", "Womens E-Mail"): (0.42441222, 0.16895679, 0.67986764),
    }
    for key, numbers in expected.items():
        found = effects[key]["absolute"]
        assert (found["estimate"], found["lower"], found["upper"]) == pytest.approx(numbers, abs=5e-9)
    assert effects["spend", "Mens E-Mail"]["p_value"] == pytest.approx(1.1638e-07, rel=1e-4)
