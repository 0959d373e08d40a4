"""The API as a process of its own, for tests that speak to it as outsiders do, or that kill it: DATABASE_URL PORT."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def tracking_server(database_url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server, once it answers; ended afterwards unless it is dead."""
    command = [sys.executable, "-m", "tests.integration.tracking_server", database_url, str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            _wait_for(port, process)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "the server ended before it answered"
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the server never answered")


if __name__ == "__main__":
    import uvicorn

    from api.app import create_app
    from api.wiring import Wiring

    wiring = Wiring.from_environment(database_url=sys.argv[1])
    try:
        uvicorn.run(create_app(wiring), host=HOST, port=int(sys.argv[2]), log_level="error")
    finally:
        wiring.close()
