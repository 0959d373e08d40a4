"""Countries by their two capitals, and what they are called in the viewer's language. Pure.

The names are those that the library of phone numbers brings, which is also what the API knows countries by.
"""

from functools import cache
from typing import Final

import phonenumbers
from phonenumbers.geodata.locale import LOCALE_DATA

_ALIAS: Final = "*"
"""Begins the name of a language whose name for the country is the one that is meant."""


@cache
def names(language: str) -> dict[str, str]:
    """Code -> name, by name. A country without a name is called by its code.

    >>> names("en")["NL"], names("zh")["NL"]
    ('Netherlands', '荷兰')
    """
    found = {code: _name(code, language) for code in phonenumbers.SUPPORTED_REGIONS}
    return dict(sorted(found.items(), key=lambda item: (item[1].casefold(), item[0])))


def _name(code: str, language: str) -> str:
    by_language = LOCALE_DATA.get(code, {})
    name = by_language.get(language) or by_language.get("en", "")
    return (by_language.get(name[1:], "") if name.startswith(_ALIAS) else name) or code
