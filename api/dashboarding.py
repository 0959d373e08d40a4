"""How the dashboard is started: Streamlit, in a process of its own, told where the API is."""

import sys
from importlib.resources import files


def dashboard_command(*, port: int, api_url: str) -> list[str]:
    """How Streamlit is started for our dashboard."""
    options = {
        "server.port": str(port),
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "server.fileWatcherType": "none",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(files("dashboard") / "app.py"),
        *flags,
        "--",
        "--api-url",
        api_url,
    ]
