"""The catalogue of interface texts: whole in every language, and every text of the code is in it."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard import texts
from dashboard.viewer import LANGUAGES

DASHBOARD = Path(texts.__file__).parent
SOURCES = sorted(DASHBOARD.rglob("*.py"))


def _words(text: texts.Text, language: str) -> list[str]:
    words = text[language]
    return [words] if isinstance(words, str) else list(words.values())


def _places(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_in_every_language(language: str) -> None:
    missing = [key for key, text in texts.catalogue().items() if language not in text]
    empty = [
        key
        for key, text in texts.catalogue().items()
        if language in text and not all(words.strip() for words in _words(text, language))
    ]
    assert (missing, empty) == ([], [])


def test_every_language_names_the_same_places() -> None:
    for key, text in texts.catalogue().items():
        # "1 user" may do without the number; whatever else a form names, the others name too.
        places = [_places(words) | {"count"} for language in LANGUAGES for words in _words(text, language)]
        assert all(named == places[0] for named in places), key


def test_plural_forms_have_known_names() -> None:
    for key, text in texts.catalogue().items():
        for words in text.values():
            if not isinstance(words, str):
                assert set(words) <= set(texts.PLURALS), key
                assert "other" in words, key


def _calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func
                if (isinstance(called, ast.Name) and called.id == name) or (
                    isinstance(called, ast.Attribute) and called.attr == name
                ):
                    yield source, node


def test_every_text_that_is_said_is_in_the_catalogue() -> None:
    said = [
        (source.name, node.args[0].value)
        for source, node in _calls("say")
        if node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert said
    assert [found for found in said if found[1] not in texts.catalogue()] == []


def test_every_text_of_the_catalogue_is_used() -> None:
    """By its whole key as a literal, or by a prefix that the code completes: f"common.role.{name}"."""
    literals: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.add(node.value.rstrip("."))
    unused = [
        key
        for key in texts.catalogue()
        if key not in literals
        and not any(key.rsplit(".", depth)[0] in literals for depth in range(1, key.count(".") + 1))
    ]
    assert unused == []


# Markup and code keep their own signs; what stands in a place is of any language.
_OF_THE_CODE = re.compile(r"`[^`]*`|https?://\S+|:[a-z-]+\[|:material/[a-z_]+:")
_HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:?!(]|[,;?!)][\u4e00-\u9fff]")


def test_chinese_has_chinese_punctuation() -> None:
    half = [
        (key, words)
        for key, text in texts.catalogue().items()
        for words in _words(text, "zh")
        if _HALF_WIDTH.search(_OF_THE_CODE.sub("", words))
    ]
    assert half == []
