"""Stock clients for tests: the API behind a real socket, and GrowthBook's JavaScript SDK in a process of Node."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn

from api.app import create_app
from api.wiring import Wiring

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = "@growthbook/growthbook@1.8.0"
FOLDER: Final = ROOT / "var" / "node" / PACKAGE.replace("/", "+")
"""Ignored by git; the package is installed there once."""
SCRIPT: Final = Path(__file__).with_name("sdk_node.cjs")


@contextmanager
def serving(wiring: Wiring) -> Iterator[str]:
    """The base URL of this API on loopback, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(create_app(wiring), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)  # the server says so in no other way
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=60)


def node_sdk() -> Path:
    """Where the JavaScript SDK is; a loud skip when Node, npm or the registry is not there."""
    main = FOLDER / "node_modules" / "@growthbook" / "growthbook"
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("not run: Node and npm are not installed, so GrowthBook's JavaScript SDK cannot be asked")
    if not main.is_dir():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
            command = ["npm", "install", "--prefix", scratch, "--no-audit", "--no-fund", "--no-save", PACKAGE]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode != 0:
                pytest.skip(f"not run: npm could not install {PACKAGE}: {done.stderr.strip()[-200:]}")
            try:
                Path(scratch).rename(FOLDER)
            except OSError:
                assert main.is_dir(), "another test installs it at the same time"
            Path(scratch).mkdir(exist_ok=True)
    return main


def ask_node(asked: dict[str, Any]) -> dict[str, Any]:
    """What the JavaScript SDK answers; see `sdk_node.cjs`."""
    done = subprocess.run(
        ["node", str(SCRIPT), str(node_sdk())],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
