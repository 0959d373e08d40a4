"""In which of a template's languages a user is written to. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_TAG: Final = re.compile(
    r"([a-z]{2,3})(?:[-_]([a-z]{4}))?(?:[-_]([a-z]{2}|\d{3}))?(?:[-_.@].*)?", re.IGNORECASE
)
# Other codes of the languages that WhatsApp knows by one.
_SAME: Final = {"iw": "he", "in": "id", "no": "nb", "nn": "nb", "tl": "fil", "ji": "yi"}
_TRADITIONAL: Final = frozenset({"TW", "HK", "MO"})


class _Tag(NamedTuple):
    language: str
    region: str
    script: str


def choose(language: str, languages: Sequence[str], *, locale: str | None) -> str:
    """One of `language` and `languages` (template languages such as `pt_BR`), for a user with this BCP-47 locale.

    The same language and region; else the same language without a region; else the same language of another region, the
    first that is stated; else `language`. Chinese is first looked for in the script that the user reads.

    >>> choose("en_US", ["pt_PT", "pt_BR"], locale="pt-BR"), choose("en_US", ["pt_PT", "pt_BR"], locale="pt")
    ('pt_BR', 'pt_PT')
    >>> choose("en_US", ["pt_BR"], locale="ja-JP")
    'en_US'
    """
    wanted = _read(locale or "")
    if wanted is None:
        return language
    best, best_rank = language, 0
    for candidate in dict.fromkeys((language, *languages)):
        rank = _fit(wanted, _read(candidate))
        if rank > best_rank:
            best, best_rank = candidate, rank
    return best


def _fit(wanted: _Tag, offered: _Tag | None) -> int:
    """How well a language fits, from 0 (not at all)."""
    if offered is None or offered.language != wanted.language:
        return 0
    if offered == wanted:
        return 4
    if offered.script != wanted.script:
        return 1
    return 2 if offered.region else 3


@lru_cache(maxsize=4096)
def _read(tag: str) -> _Tag | None:
    found = _TAG.fullmatch(tag.strip())
    if found is None:
        return None
    language, script, region = (part or "" for part in found.groups())
    language = _SAME.get(language.lower(), language.lower())
    region = region.upper()
    if language != "zh":
        return _Tag(language, region, "")
    return _Tag(language, region, script.title() or ("Hant" if region in _TRADITIONAL else "Hans"))
