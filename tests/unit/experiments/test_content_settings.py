"""Content sources as settings say them: what is refused, and that no secret is told."""

import json
from datetime import timedelta
from typing import Any

import pytest

from experiments.errors import Invalid
from experiments.settings import Settings

SECRET = "s3cret"


def read(content: Any, monkeypatch: pytest.MonkeyPatch, sources: str = "{}") -> Settings:
    monkeypatch.setenv("TOUCHSTONE_SOURCES", sources)
    monkeypatch.setenv("TOUCHSTONE_CONTENT", content if isinstance(content, str) else json.dumps(content))
    return Settings.from_environment()


def test_both_kinds_with_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(
        {
            "picks": {"url": f"https://x.example/{{user_id}}?key={SECRET}", "headers": {"a": SECRET}},
            "news": {"url": "http://news.example", "timeout": "1s", "fallback": None, "ttl": "10m"},
            "tickets": {"source": "crm", "query": "SELECT user_id FROM t WHERE user_id IN :user_ids"},
        },
        monkeypatch,
        '{"crm": "sqlite:///x.db"}',
    )
    picks, news, tickets = (settings.content[name] for name in ("picks", "news", "tickets"))
    assert (picks.timeout, picks.ttl, picks.has_fallback) == (
        timedelta(milliseconds=500),
        timedelta(0),
        False,
    )
    assert (news.timeout, news.ttl, news.has_fallback) == (timedelta(seconds=1), timedelta(minutes=10), True)
    assert (picks.is_personal, news.is_personal, tickets.is_personal) == (True, False, True)
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SECRET, "is not a JSON object"),
        ("[" * 100_000, "is not a JSON object"),
        ([SECRET], "valid dictionary"),
        ({"a": {}}, "give `url`, or `source` with `query`"),
        ({"a": {"url": "https://x.example", "source": "crm"}}, "give `url`, or"),
        ({"a": {"source": "crm"}}, "needs a `query`"),
        ({"a": {"source": "crm", "query": SECRET}}, "user_id IN :user_ids"),
        ({"a": {"url": "https://x.example", "query": "x"}}, "`query` is for a `source`"),
        ({"a": {"source": "crm", "query": ":user_ids", "headers": {"x": SECRET}}}, "`headers` are for"),
        ({"a": {"source": "erp", "query": "IN :user_ids"}}, "TOUCHSTONE_SOURCES has no erp"),
        ({"a": {"url": f"ftp://{SECRET}"}}, "not an http or https address"),
        ({"a": {"url": SECRET}}, "not an http or https address"),
        ({"a": {"url": "https://{user_id}.example"}}, "may not say which host"),
        ({"a": {"url": "https://x.example", "timeout": "11s"}}, "10 seconds"),
        ({"a": {"url": "https://x.example", "timeout": "0ms"}}, "greater than"),
        ({"a": {"url": "https://x.example", "timeout": "soon"}}, "not a duration"),
        ({"a": {"url": "https://x.example", "ttl": "8d"}}, "7 days"),
        ({"a": {"url": "https://x.example", "retries": 3}}, "not permitted"),
        ({"a b": {"url": "https://x.example"}}, "should match pattern"),
    ],
    ids=range(19),
)
def test_what_is_wrong_is_named_and_no_secret_told(
    content: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid) as caught:
        read(content, monkeypatch, '{"crm": "sqlite:///x.db"}')
    assert words in str(caught.value)
    assert all(problem.field.startswith("TOUCHSTONE_CONTENT") for problem in caught.value.problems)
    assert SECRET not in str(caught.value)
