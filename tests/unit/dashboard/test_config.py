"""Streamlit passes silently over a configuration that it cannot read, and then shows developers' buttons to readers."""

import tomllib
from pathlib import Path

import dashboard

CONFIG = Path(dashboard.__file__).parent / ".streamlit" / "config.toml"


def test_the_configuration_can_be_read() -> None:
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    assert config["client"] == {"toolbarMode": "minimal", "showErrorDetails": "none"}
    assert config["runner"]["magicEnabled"] is False
    assert config["server"]["address"] == "127.0.0.1"
    assert config["browser"]["gatherUsageStats"] is False
