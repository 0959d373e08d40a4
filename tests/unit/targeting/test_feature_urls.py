"""URL patterns of experiments and variants asked for in a query string."""

import pytest

from targeting.features.urls import compile_legacy, compile_targets, variation_in


def _targeted(url, *patterns):
    targets = [{"type": kind, "pattern": pattern, "include": include} for kind, pattern, include in patterns]
    return compile_targets(targets)(url)


@pytest.mark.parametrize(
    ("pattern", "url", "expected"),
    [
        ("https://www.example.com/post/*", "https://www.example.com/post/123", True),
        ("https://www.example.com/post/*", "https://www.example.com/comments/123", False),
        ("https://www.example.com/post/", "https://www.example.com/post", True),
        ("/post", "https://any.example.org/post/", True),
        ("post", "https://any.example.org/post", True),
        ("/post", "https://any.example.org/a/post", False),
        ("example.com/about", "http://EXAMPLE.com/About", True),
        ("*.example.com/about", "https://shop.example.com/about", True),
        ("*.example.com/about", "https://example.org/about", False),
        ("https://example.com/", "https://example.com:443", True),
        ("https://example.com/", "https://example.com:8443/", False),
        ("https://example.com/a?b=*", "https://example.com/a?c=1&b=2", True),
        ("https://example.com/a?b=2", "https://example.com/a?b=3&b=2", False),
        ("https://example.com/a?b=2", "https://example.com/a", False),
        ("https://example.com/a#top", "https://example.com/a#top", True),
        ("https://example.com/a#top", "https://example.com/a", False),
        ("https://example.com/a", "https://example.com/a#top", True),
        ("/a*b*c", "https://example.com/axxbxxc", True),
        ("/ab*ba", "https://example.com/aba", False),
        ("/a*b*b*c", "https://example.com/abc", False),
        ("/a.c", "https://example.com/abc", False),
        ("https://[", "https://example.com/", False),
        ("/", "https://[", False),
    ],
)
def test_simple(pattern, url, expected):
    assert _targeted(url, ("simple", pattern, True)) is expected


@pytest.mark.parametrize(
    ("pattern", "url", "expected"),
    [
        (r"^https://example\.com/\d+$", "https://example.com/12", True),
        (r"^/post/\d+", "https://example.com/post/12?x=1", True),
        (r"^/post/\d+", "/post/12", True),
        ("(", "https://example.com/", False),
        ("(a+)+$", "https://example.com/" + "a" * 60 + "!", False),
        ("x", "https://[", False),
    ],
)
def test_regex(pattern, url, expected):
    assert _targeted(url, ("regex", pattern, True)) is expected


def test_included_and_excluded():
    shop, sale = ("simple", "/shop/*", True), ("simple", "/shop/sale", False)
    assert _targeted("https://x.org/shop/1", shop, sale)
    assert not _targeted("https://x.org/shop/sale", shop, sale)
    assert _targeted("https://x.org/help", sale)
    assert not _targeted("https://x.org/help", ("simple", "/a", True), ("simple", "/b", True))
    assert _targeted("https://x.org/b", ("simple", "/a", True), ("simple", "/b", True))


def test_odd_targets():
    assert compile_targets(None) is None
    assert compile_targets([])("https://x.org/") is False
    assert compile_targets(["odd"])("https://x.org/") is True
    assert not _targeted("https://x.org/", ("shape", "/", True))
    assert not _targeted("https://x.org/", ("simple", 5, True))


def test_the_old_url_is_a_regular_expression_of_the_whole_or_of_the_path():
    assert compile_legacy(None) is None
    assert compile_legacy("(") is None
    assert compile_legacy("^/a")("https://x.org/a")
    assert compile_legacy("x\\.org")("https://x.org/a")
    assert not compile_legacy("^/b")("https://x.org/a")
    assert not compile_legacy("a*")("")
    assert not compile_legacy("(a+)+$")("https://x.org/" + "a" * 60)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", None),
        ("http://x.org", None),
        ("http://x.org?", None),
        ("http://x.org?exp=0", 0),
        ("http://x.org?a=b&exp=1#exp=0", 1),
        ("http://x.org?exp=1&exp=0", 1),
        ("http://x.org?exp=1.7", 1),
        ("http://x.org?exp=-1", None),
        ("http://x.org?exp=2", None),
        ("http://x.org?exp", None),
        ("http://x.org?exp=one&exp=1", None),
        ("http://x.org?exp=²", None),
        ("http://x.org?exp=" + "9" * 5_000, None),
        ("http://x.org?other-exp=1", None),
    ],
    ids=range(14),
)
def test_variation_in_a_query_string(url, expected):
    assert variation_in(url, "exp", 2) == expected
