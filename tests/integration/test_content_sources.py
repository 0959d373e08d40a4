"""Content sources against a real HTTP server on loopback and real tables: what comes, and what stands in for it."""

import asyncio
import gzip
import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from delivery.content.content_sources import CONCURRENCY, FAILURES, MAX_BYTES, ContentSources, Wanted
from delivery.content.ingredients import Fetched
from experiments.database import Database
from experiments.settings import Settings
from tests.integration.content_server import ContentService, Reply, pick, serving

FALLBACK = [{"name": "Classic"}]


@pytest.fixture
def service() -> ContentService:
    return ContentService()


@pytest.fixture
def url(service: ContentService) -> Iterator[str]:
    with serving(service) as address:
        yield address


class Seconds:
    """The machine's time, as far as a test lets it pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def settings(url: str, *, path: str = "/u/{user_id}", **changes: Any) -> Settings:
    source = {"url": url + path, "timeout": "10s"} | changes
    return Settings(content=json.dumps({"picks": source}))


def fetch(asked: Settings, *batches: Sequence[str], seconds: Seconds | None = None) -> list[list[Fetched]]:
    """What each batch of users gets, one after the other, from the same sources."""

    async def work() -> list[list[Fetched]]:
        sources = ContentSources(asked, monotonic=seconds or Seconds())
        try:
            return [await one(sources, batch) for batch in batches]
        finally:
            await sources.close()

    async def one(sources: ContentSources, batch: Sequence[str]) -> list[Fetched]:
        wanted = [Wanted(number, user_id, frozenset({"picks"})) for number, user_id in enumerate(batch)]
        found = await sources.fetch(wanted)
        return [found[number] for number in range(len(batch))]

    return asyncio.run(work())


def picks(user_id: str) -> Fetched:
    return Fetched({"picks": [{"name": f"Tent for {user_id}"}]})


def test_each_user_has_their_own_answer_and_is_asked_for_once(service: ContentService, url: str) -> None:
    ((first, second, again),) = fetch(settings(url), ["ann", "bob", "ann"])
    assert (first, second, again) == (picks("ann"), picks("bob"), picks("ann"))
    assert sorted(service.paths) == ["/u/ann", "/u/bob"]


def test_a_user_id_stays_one_part_of_the_path_and_headers_are_sent(service: ContentService, url: str) -> None:
    asked = settings(url, headers={"authorization": "Bearer s3cret"})
    odd = ["a/../b?x=1#y", "é 100%", ".."]
    ((first, second, third),) = fetch(asked, odd)
    assert (first, second) == (picks(odd[0]), picks(odd[1]))
    assert third == Fetched({"picks": None})
    assert sorted(service.paths) == ["/u/%C3%A9%20100%25", "/u/a%2F..%2Fb%3Fx%3D1%23y"]
    assert {headers["authorization"] for headers in service.headers} == {"Bearer s3cret"}


DEEP = b"[" * 9 + b"1" + b"]" * 9
ODD = {
    "error": Reply(500, b"oops"),
    "garbage": Reply(body=b"<html>"),
    "nan": Reply(body=b'{"x": NaN}'),
    "huge": Reply(body=b'"' + b"x" * MAX_BYTES + b'"'),
    "deep": Reply(body=DEEP),
    "very deep": Reply(body=b"[" * 30_000),
    "not utf-8": Reply(body=b'"\xff\xfe\xff"'),
    "redirect": Reply(302, b"", headers={"location": "http://127.0.0.1:1/"}),
    "compressed": Reply(
        body=gzip.compress(b'"' + b"x" * 10_000_000 + b'"'), headers={"content-encoding": "gzip"}
    ),
    "slow": Reply(seconds=0.6),
}


@pytest.mark.parametrize("reply", ODD.values(), ids=ODD.keys())
def test_whatever_goes_wrong_the_fallback_stands_in_and_is_named(
    service: ContentService, url: str, reply: Reply
) -> None:
    service.answer = lambda _: reply
    quick = {"timeout": "200ms"} if reply.seconds else {}
    ((with_fallback,),) = fetch(settings(url, fallback=FALLBACK, **quick), ["ann"])
    assert with_fallback == Fetched({"picks": FALLBACK}, fallbacks=("picks",))
    ((without,),) = fetch(settings(url, **quick), ["ann"])
    assert without == Fetched({}, unavailable=("picks",))


def test_nobody_there_is_trouble_too() -> None:
    ((found,),) = fetch(settings("http://127.0.0.1:1"), ["ann"])
    assert found.unavailable == ("picks",)


@pytest.mark.parametrize("reply", [Reply(404), Reply(204), Reply(body=b"null")], ids=["404", "204", "null"])
def test_nothing_known_of_a_user_is_no_trouble(service: ContentService, url: str, reply: Reply) -> None:
    service.answer = lambda user_id: reply if user_id == "ann" else pick(user_id)
    ((ann, bob),) = fetch(settings(url), ["ann", "bob"])
    assert (ann, bob) == (Fetched({"picks": None}), picks("bob"))
    ((ann,),) = fetch(settings(url, fallback=None), ["ann"])
    assert ann == Fetched({"picks": None}, fallbacks=("picks",))


def test_one_user_s_trouble_is_not_another_s(service: ContentService, url: str) -> None:
    service.answer = lambda user_id: Reply(500) if user_id == "ann" else pick(user_id)
    ((ann, bob),) = fetch(settings(url, fallback=FALLBACK), ["ann", "bob"])
    assert (ann.fallbacks, bob) == (("picks",), picks("bob"))


def test_only_so_many_at_once(service: ContentService, url: str) -> None:
    service.answer = lambda user_id: Reply(body=pick(user_id).body, seconds=0.05)
    users = [f"u{number}" for number in range(3 * CONCURRENCY)]
    (found,) = fetch(settings(url, timeout="5s"), users)
    assert found == [picks(user_id) for user_id in users]
    assert service.most <= CONCURRENCY


def test_a_batch_has_an_end_and_keeps_what_came_in_time(
    service: ContentService, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.content.content_sources.BATCH_SECONDS", 1.0)
    service.answer = lambda user_id: Reply(body=pick(user_id).body, seconds=30 if user_id == "z" else 0)
    ((quick, late),) = fetch(settings(url, fallback=FALLBACK, timeout="10s"), ["a", "z"])
    assert (quick, late) == (picks("a"), Fetched({"picks": FALLBACK}, fallbacks=("picks",)))


def test_a_source_that_keeps_failing_is_left_alone_and_then_asked_once(
    service: ContentService, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = Seconds()
    service.answer = lambda _: Reply(500)
    users = [f"u{number}" for number in range(200)]
    asked = settings(url, fallback=FALLBACK, path="/key-s3cret/{user_id}")

    async def work() -> None:
        sources = ContentSources(asked, monotonic=seconds)

        async def batch() -> tuple[int, set[tuple[str, ...]]]:
            before = len(service.paths)
            wanted = [Wanted(n, user, frozenset({"picks"})) for n, user in enumerate(users)]
            found = await sources.fetch(wanted)
            return len(service.paths) - before, {each.fallbacks for each in found.values()}

        first, fallbacks = await batch()
        assert FAILURES <= first <= FAILURES + CONCURRENCY
        assert fallbacks == {("picks",)}
        assert await batch() == (0, {("picks",)})
        seconds.now += 70
        assert await batch() == (1, {("picks",)})
        service.answer = pick
        seconds.now += 70
        assert await batch() == (len(users), {()})
        await sources.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert [record.getMessage() for record in caplog.records] == [
        "content source picks fails again and again: _OddAnswerError"
    ]


def test_answers_are_used_again_for_as_long_as_ttl_says(service: ContentService, url: str) -> None:
    seconds = Seconds()
    asked = settings(url, ttl="10m")

    async def work() -> None:
        sources = ContentSources(asked, monotonic=seconds)
        wanted = [Wanted(1, "ann", frozenset({"picks"}))]
        for passed, requests in ((0, 1), (599, 1), (2, 2)):
            seconds.now += passed
            assert (await sources.fetch(wanted))[1] == picks("ann")
            assert len(service.paths) == requests
        await sources.close()

    asyncio.run(work())


def test_a_source_that_is_the_same_for_all_is_asked_once(service: ContentService, url: str) -> None:
    service.answer = lambda _: Reply(body=b'{"title": "Sale"}')
    (found,) = fetch(settings(url, path="/news"), ["ann", "bob"])
    assert found == 2 * [Fetched({"picks": {"title": "Sale"}})]
    assert service.paths == ["/news"]
    service.answer = lambda _: Reply(404)
    (found,) = fetch(settings(url, path="/news"), ["ann", "bob"])
    assert found == 2 * [Fetched({"picks": None})]


def test_a_source_that_settings_do_not_know_is_unavailable() -> None:
    ((found,),) = fetch(Settings(), ["ann"])
    assert found == Fetched({}, unavailable=("picks",))


QUERY = "SELECT user_id, product, price FROM picks WHERE user_id IN :user_ids ORDER BY place"


def table_settings(database_url: str, query: str = QUERY, **changes: Any) -> Settings:
    source = {"source": "shop", "query": query, "timeout": "5s"} | changes
    return Settings(sources=json.dumps({"shop": database_url}), content=json.dumps({"picks": source}))


@pytest.fixture
def shop(database: Database, database_url: str) -> str:
    with database.transaction() as session:
        connection = session.connection()
        connection.execute(text("CREATE TABLE picks (user_id TEXT, product TEXT, price NUMERIC, place INT)"))
        rows = [("ann", "Stove", 49.5, 2), ("ann", "Tent", 199, 1), ("o'b:x", "Rope", None, 1)]
        rows += [("many", f"p{n}", 1, n) for n in range(30)]
        for row in rows:
            values = dict(zip(("user_id", "product", "price", "place"), row, strict=True))
            connection.execute(text("INSERT INTO picks VALUES (:user_id, :product, :price, :place)"), values)
    return database_url


def test_a_table_gives_each_user_their_rows_in_order(shop: str) -> None:
    ((ann, odd, nobody, many),) = fetch(table_settings(shop), ["ann", "o'b:x", "nobody", "many"])
    assert [row["product"] for row in ann.values["picks"]] == ["Tent", "Stove"]
    assert float(ann.values["picks"][1]["price"]) == 49.5
    assert odd == Fetched({"picks": [{"product": "Rope", "price": None}]})
    assert nobody == Fetched({"picks": None})
    assert [row["product"] for row in many.values["picks"]] == [f"p{n}" for n in range(20)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT product FROM picks WHERE user_id IN :user_ids",
        "SELECT user_id, nothing FROM picks WHERE user_id IN :user_ids",
        "DELETE FROM picks WHERE user_id IN :user_ids RETURNING user_id",
        "SELECT user_id, :other FROM picks WHERE user_id IN :user_ids",
        "SELECT p.user_id FROM picks p, picks q, picks r, picks s WHERE p.user_id IN :user_ids OR 1 = 1",
    ],
    ids=["no-user", "no-column", "writes", "other-parameter", "too-many"],
)
def test_a_query_that_does_not_work_ends_in_the_fallback(shop: str, database: Database, query: str) -> None:
    ((found,),) = fetch(table_settings(shop, query, fallback=FALLBACK), ["ann"])
    assert found == Fetched({"picks": FALLBACK}, fallbacks=("picks",))
    with database.snapshot() as session:
        assert session.connection().execute(text("SELECT count(*) FROM picks")).scalar_one() == 33


def test_a_query_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shop.db").close()
    endless = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
        "SELECT 'a' AS user_id, max(x) FROM n WHERE 'a' IN :user_ids"
    )
    asked = table_settings(f"sqlite:///{tmp_path}/shop.db", endless, timeout="200ms")
    ((found,),) = fetch(asked, ["a"])
    assert found.unavailable == ("picks",)
