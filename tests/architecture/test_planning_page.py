"""Every number of docs/planning.md is what the program says."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.stats.monitoring import Monitoring, evenly
from api.cli import app

PAGE = (Path(__file__).resolve().parents[2] / "docs/planning.md").read_text()
SIZES = re.findall(r"^\| `touchstone (plan size [^`]+)`[^|]*\| ([\d,]+) \|$", PAGE, re.MULTILINE)
INFLATIONS = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)


def test_the_page_has_its_examples() -> None:
    assert (len(SIZES), len(INFLATIONS)) == (12, 5)


@pytest.mark.parametrize(("command", "users"), SIZES)
def test_sizes(command: str, users: str) -> None:
    run = CliRunner().invoke(app, [*shlex.split(command), "--json"])
    assert run.exit_code == 0, run.output
    assert f"{json.loads(run.output)['users_needed']:,}" == users


@pytest.mark.parametrize(("looks", "spending", "always_valid"), INFLATIONS)
def test_the_price_of_looking(looks: str, spending: str, always_valid: str) -> None:
    for method, said in (("spending", spending), ("always_valid", always_valid)):
        found = Monitoring(method=method, fractions=evenly(int(looks))).inflation(0.8)
        assert f"{found:.3f}" == said
