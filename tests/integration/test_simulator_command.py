"""`touchstone simulator` as a process of its own: its options reach the server. A wrong script ends it in one line."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from delivery.whatsapp.client import Accepted, Rejected
from tests.integration.command_line import CommandLine
from tests.integration.simulation import TOKEN, message, post, send

PLAN = "steps:\n  - {fault: error, code: 131016, to: 2, by: posts}\n"


def _command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    names = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHSTONE_")}
    return subprocess.Popen(
        [sys.executable, "-c", "from api.cli import main; main()", "simulator", *arguments],
        cwd=Path(__file__).parents[2],
        env=names
        | {
            "TOUCHSTONE_WHATSAPP_TOKEN": TOKEN,
            "TOUCHSTONE_WHATSAPP_BUSINESS_ACCOUNT_ID": "4711",
            "HOME": str(folder),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _states(url: str) -> list[str]:
    entries = httpx.get(f"{url}/simulator/ledger").json()["data"]
    return [one["state"] for entry in entries for one in entry["messages"]]


def test_options_reach_the_server(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = _command(
        tmp_path,
        "--port",
        str(port),
        "--realistic",
        "--tier",
        "3",
        "--hurry",
        "1e6",
        "--faults",
        str(plan),
        "--webhook-url",
        f"{url}/none",
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/healthz")
                break
            except httpx.TransportError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < end, "the simulator did not start"
                time.sleep(0.05)
        post(url, "/simulator/hold")
        outcomes = [send(url, [message(n, "anything")])[0] for n in range(5)]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        listed = httpx.get(f"{url}/v26.0/4711/message_templates", headers=headers)
        post(url, "/simulator/release")
        while "read" not in (states := _states(url)):
            assert time.monotonic() < end, f"an hour of theirs is no time, but nobody has read: {states}"
            time.sleep(0.05)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert [one.code if isinstance(one, Rejected) else type(one) for one in outcomes] == [
        131016,
        *[Accepted] * 3,
        131048,
    ]
    assert listed.json() == {"data": []}


def test_nothing_is_announced_at_a_port_that_is_taken(touchstone: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = touchstone("simulator", "--port", str(taken.getsockname()[1]))
    assert (run.returncode, run.stdout) == (1, "")
    assert "cannot listen" in run.stderr


@pytest.mark.parametrize("text", ["steps: [{fault: gremlin}]", "steps: ["])
def test_a_wrong_script_is_one_line(touchstone: CommandLine, tmp_path: Path, text: str) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(text)
    assert touchstone.fails("simulator", "--faults", str(plan)).startswith("touchstone: faults")
