"""What Streamlit reads beside `app.py`: a mistake in it would only be a line in a log, and every setting its default."""

import tomllib
from pathlib import Path

from streamlit import config

import dashboard

FILE = Path(dashboard.__file__).parent / ".streamlit" / "config.toml"


def test_the_settings_are_read_and_streamlit_knows_each() -> None:
    settings = tomllib.loads(FILE.read_text(encoding="utf-8"))
    names = {f"{section}.{name}" for section, values in _flat(settings) for name in values}
    known = set(config.get_config_options())
    assert names - known == set()
    # A text that stands alone in a page, such as what explains a constant, is not for people.
    assert settings["runner"]["magicEnabled"] is False
    assert settings["browser"]["gatherUsageStats"] is False


def _flat(settings: dict[str, dict[str, object]]) -> list[tuple[str, list[str]]]:
    found = []
    for section, values in settings.items():
        plain = [name for name, value in values.items() if not isinstance(value, dict)]
        found.append((section, plain))
        inner = {f"{section}.{name}": value for name, value in values.items() if isinstance(value, dict)}
        found += [(name, list(value)) for name, value in inner.items()]
    return found
