"""What people can set, call and run is written down, and what is written down exists."""

import re
from pathlib import Path

import pytest
import typer.main
from pydantic import SecretStr

from api.cli import app
from delivery.watch.reasons import KNOWN, LEFT_OUT
from experiments.clock import format_duration
from experiments.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def _default(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, SecretStr) or value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{format_duration(value)}`" if hasattr(value, "total_seconds") else f"`{value}`"


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    rows = dict(re.findall(r"^\| `(TOUCHSTONE_\w+)` \| (\S+) \|", page, re.MULTILINE))
    rows = {name: {"`24h`": "`1d`"}.get(value, value) for name, value in rows.items()}
    expected = {
        f"TOUCHSTONE_{name.upper()}": _default(item.get_default(call_default_factory=True))
        for name, item in Settings.model_fields.items()
    }
    assert rows == expected


def _commands() -> dict[str, str]:
    def walk(command: object, path: str) -> dict[str, str]:
        children = getattr(command, "commands", None)
        own = {path: getattr(command, "help", None) or ""}
        if children is None:
            return own
        # A family may do something by itself as well.
        return (own if getattr(command, "invoke_without_command", False) else {}) | {
            key: text
            for name, child in children.items()
            for key, text in walk(child, f"{path} {name}").items()
        }

    return walk(typer.main.get_command(app), "touchstone")


def test_every_command_teaches() -> None:
    commands = _commands()
    assert len(commands) > 15
    assert [name for name, text in commands.items() if len(text) < 20] == []


def test_every_command_is_documented() -> None:
    page = (ROOT / "docs/commands.md").read_text()
    assert [name for name in _commands() if f"`{name}" not in page] == []


def test_every_command_that_a_page_names_exists() -> None:
    commands = set(_commands())
    groups = {name.rsplit(" ", 1)[0] for name in commands} - {"touchstone"}
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = [
        (page.name, f"touchstone {first}", f"touchstone {first} {second}")
        for page in pages
        for first, second in re.findall(r"\btouchstone ([a-z][a-z-]+)(?: ([a-z-]+))?", page.read_text())
    ]
    assert len(named) > 80
    assert [one for one in named if (one[2] if one[1] in groups else one[1]) not in commands] == []


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs/delivery.md").read_text()
    assert sorted(reason for reason in KNOWN | LEFT_OUT.keys() if f"`{reason}`" not in page) == []


def test_every_floor_says_what_lives_there_what_it_may_import_and_where_to_start() -> None:
    for floor in ("experiments", "targeting", "delivery", "analysis", "api", "dashboard"):
        text = (ROOT / floor / "__init__.py").read_text()
        assert "Lives here" in text
        assert "May import" in text
        assert "Start reading" in text


@pytest.mark.parametrize(("floor", "least"), [("targeting", 6), ("delivery", 11)])
def test_every_room_has_a_first_page(floor: str, least: int) -> None:
    rooms = sorted(path.parent for path in (ROOT / floor).glob("*/__init__.py"))
    assert len(rooms) >= least
    for room in rooms:
        text = (room / "__init__.py").read_text()
        assert "May import" in text, room
        assert "Start reading" in text, room


def test_no_file_is_too_long_to_read() -> None:
    floors = (
        "experiments",
        "targeting",
        "delivery",
        "analysis",
        "api",
        "dashboard",
        "tests",
        "benchmarks",
        "examples",
    )
    long = {
        str(path.relative_to(ROOT)): lines
        for floor in floors
        for path in (ROOT / floor).rglob("*.py")
        if "migrations/versions" not in str(path) and (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
