"""The words of the interface, in every language, from one catalogue: the TOML files in `catalogue/`, one a page.

A text is a table of languages, `title = {en = "Delivery", zh = "投递"}`, and `say("delivery.title")` gives it in the
viewer's language. A language may tell one from many, `{one = "{count} user", other = "{count} users"}`, chosen by `count`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from dashboard import viewer
from dashboard.viewer import FALLBACK, LANGUAGES

Text = Mapping[str, str | Mapping[str, str]]
PLURALS: Final = ("one", "other")


def say(key: str, /, **values: object) -> str:
    """The text `key` in the viewer's language, with `values` in the places it names.

    Values are put in as they are: inside Markdown, pass text of other people through `formats.plain` first.
    Raises KeyError for a text that is not in the catalogue.
    """
    return spoken(key, viewer.language(), values)


def spoken(key: str, language: str, values: Mapping[str, object]) -> str:
    """As `say`, in a language that is named.

    >>> spoken("sign_in.sign_in", "zh", {})
    '登录'
    """
    text = catalogue()[key]
    words = text.get(language, text[FALLBACK])
    if not isinstance(words, str):
        words = words["one" if values.get("count") == 1 and "one" in words else "other"]
    return words.format(**values)


def told(prefix: str, name: str) -> str:
    """The text `prefix.name`, for names that the API may add to: one that the catalogue lacks is shown as it is.

    >>> told("common.status", "draft"), told("common.status", "brand_new")
    ('draft', 'brand new')
    """
    return say(f"{prefix}.{name}") if f"{prefix}.{name}" in catalogue() else name.replace("_", " ")


@cache
def catalogue() -> Mapping[str, Text]:
    """Every text by its full key, such as `delivery.pause.title`."""
    texts: dict[str, Text] = {}
    for file in files("dashboard.catalogue").iterdir():
        if file.name.endswith(".toml"):
            page = file.name.removesuffix(".toml")
            texts.update(_flat(page, tomllib.loads(file.read_text(encoding="utf-8"))))
    return texts


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    for name, value in table.items():
        key = f"{prefix}.{name}"
        if set(value) <= set(LANGUAGES):
            yield key, value
        else:
            yield from _flat(key, value)
