"""URLs in experiments: which page an experiment is for, and which variant a query string asks for.

As the GrowthBook SDK reads them. Two kinds of pattern: `simple` (a URL in which * stands for anything; only what it names is
compared) and `regex`. Neither can run for ever: wildcards are matched without going back, and a regular expression that could
take exponential time is taken for one that does not match.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urljoin, urlsplit

from targeting.conditions.patterns import Pattern, compile_pattern, danger, search

_WILDCARD: Final = "_____"  # as in the SDKs: * is not valid in a host
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_LEADING_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]{1,15})")

UrlTest = Callable[[str], bool]


def compile_targets(targets: Any) -> UrlTest | None:
    """The test that a URL has to pass; None when an experiment is for every page.

    A URL passes when no excluding pattern matches and, if there are including ones, one of them does. An empty list is
    passed by none.
    """
    if not isinstance(targets, list):
        return None
    including: list[UrlTest] = []
    excluding: list[UrlTest] = []
    for target in targets:
        if isinstance(target, dict):
            wanted = excluding if target.get("include") is False else including
            wanted.append(_compile_target(target.get("type"), target.get("pattern")))

    def test(url: str) -> bool:
        if not targets or any(matches(url) for matches in excluding):
            return False
        return not including or any(matches(url) for matches in including)

    return test


def compile_legacy(pattern: Any) -> UrlTest | None:
    """The test of the old `url` of an experiment: a regular expression, of the whole URL or of what follows the host."""
    if not isinstance(pattern, str) or not pattern:
        return None
    compiled = _compile_regex(pattern)
    if compiled is None:
        # An invalid one is ignored, as in the SDKs; one that is merely dangerous matches nothing.
        return None if compile_pattern(pattern, ignore_case=False) is None else _nowhere

    def test(url: str) -> bool:
        path = re.sub(r"^[^/]*/", "/", re.sub(r"^https?://", "", url), count=1)
        return bool(url) and (search(compiled, url) or search(compiled, path))

    return test


def variation_in(url: str, key: str, count: int) -> int | None:
    """The variant that the query string asks for with `?key=index`; None when it asks for none that exists."""
    _, question, query = url.partition("?")
    if not question or key not in query:
        return None
    for pair in query.split("?")[0].split("#")[0].split("&"):
        name, _, value = pair.partition("=")
        if name == key:
            number = _LEADING_INTEGER.match(value)
            return int(number[1]) if number is not None and 0 <= int(number[1]) < count else None
    return None


def _compile_target(kind: Any, pattern: Any) -> UrlTest:
    if not isinstance(pattern, str):
        return _nowhere
    if kind == "simple":
        return _compile_simple(pattern)
    compiled = _compile_regex(pattern) if kind == "regex" else None
    if compiled is None:
        return _nowhere

    def test(url: str) -> bool:
        parts = _split(url)
        return parts is not None and (
            search(compiled, "".join(parts)) or search(compiled, "".join(parts[1:]))
        )

    return test


def _compile_regex(pattern: str) -> Pattern | None:
    return None if danger(pattern) else compile_pattern(pattern, ignore_case=False)


def _compile_simple(pattern: str) -> UrlTest:
    named = re.sub(r"^([^:/?]*)\.", r"https://\1.", pattern, count=1).replace("*", _WILDCARD)
    expected = _split(named, f"https://{_WILDCARD}")
    if expected is None:
        return _nowhere
    _, path, query, fragment = expected
    host = _host(expected[0])
    pairs = parse_qsl(query[1:], keep_blank_values=True)

    def test(url: str) -> bool:
        parts = _split(url)
        if parts is None:
            return False
        asked: dict[str, str] = {}
        for name, value in parse_qsl(parts[2][1:], keep_blank_values=True):
            asked.setdefault(name, value)
        return (
            _like(_host(parts[0]), host)
            and _like_path(parts[1], path)
            and (not fragment or _like(parts[3], fragment))
            and all(_like(asked.get(name, ""), value) for name, value in pairs)
        )

    return test


def _split(url: str, base: str = "https://_") -> Sequence[str] | None:
    """(origin, path, ?query, #fragment) of a URL, which may be relative to `base`; None when it is none."""
    try:
        parts = urlsplit(urljoin(base + "/", url))
    except ValueError:
        return None
    host = (parts.netloc.rpartition("@")[2]).lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, ":"))
    return (
        f"{parts.scheme}://{host}",
        parts.path or "/",
        f"?{parts.query}" if parts.query else "",
        f"#{parts.fragment}" if parts.fragment else "",
    )


def _host(origin: str) -> str:
    return origin.partition("://")[2]


def _like_path(actual: str, expected: str) -> bool:
    """With or without a slash at either end."""
    bare = expected.removeprefix("/").removesuffix("/")
    candidates = {actual, actual.removeprefix("/"), actual.removesuffix("/")}
    candidates.add(actual.removeprefix("/").removesuffix("/"))
    return any(_like(candidate, bare) for candidate in candidates)


def _like(actual: str, expected: str) -> bool:
    """Whether the whole text follows the pattern; case is ignored. Each wildcard takes the nearest place, and none goes back."""
    text = actual.lower()
    first, *rest = expected.lower().split(_WILDCARD)
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _nowhere(_url: str) -> bool:
    return False
