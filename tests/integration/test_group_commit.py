"""Writes that come together share a transaction; one that fails fails alone; nothing is answered before its commit."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlmodel import Session, col, select

from api.group_commit import GroupCommitter
from experiments.clock import EPOCH
from experiments.database import Database
from experiments.errors import Conflict, Unauthenticated, Unavailable
from targeting.models import Attribute


class Writer:
    """Stores each name as a row; refuses `bad`, answers `stranger` with an error, and can be made to wait."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.entered = threading.Event()
        self.busy_for = 0

    def __call__(self, session: Session, names: Sequence[str]) -> list[str | Exception]:
        self.entered.set()
        assert self.may_go.wait(10)
        self.groups.append(list(names))
        for name in names:
            session.add(Attribute(name=name, kind="text", share=1, discovered_at=EPOCH))
        session.flush()
        if "bad" in names:
            raise Conflict("bad is taken")
        if self.busy_for:
            self.busy_for -= 1
            raise Unavailable("busy")
        return [Unauthenticated("who?") if name == "stranger" else name.upper() for name in names]


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def committer(database: Database, writer: Writer) -> Iterator[GroupCommitter[str, str]]:
    made = GroupCommitter(database, writer, most_waiting=10, most_at_once=6)
    yield made
    writer.may_go.set()
    made.close()


def stored(database: Database) -> list[str]:
    with database.snapshot() as session:
        return list(session.exec(select(Attribute.name).order_by(col(Attribute.name))).all())


async def behind_the_first(
    committer: GroupCommitter[str, str], writer: Writer, names: Sequence[str], **options: Any
) -> list[Any]:
    """What becomes of items that come while one is being written: they wait, and form the next groups."""
    writer.may_go.clear()
    first = asyncio.create_task(committer.commit("first"))
    await asyncio.to_thread(writer.entered.wait, 10)
    others = [asyncio.create_task(committer.commit(name, **options)) for name in names]
    await asyncio.sleep(0)
    writer.may_go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_who_comes_while_another_is_written_shares_the_next_transaction(
    database: Database, committer: GroupCommitter[str, str], writer: Writer
) -> None:
    answers = asyncio.run(behind_the_first(committer, writer, ["a", "b", "c"]))
    assert answers == ["FIRST", "A", "B", "C"]
    assert writer.groups == [["first"], ["a", "b", "c"]]
    assert stored(database) == ["a", "b", "c", "first"]


def test_one_that_fails_fails_alone(
    database: Database, committer: GroupCommitter[str, str], writer: Writer
) -> None:
    answers = asyncio.run(behind_the_first(committer, writer, ["a", "bad", "stranger"]))
    assert answers[:2] == ["FIRST", "A"]
    assert [type(answer) for answer in answers[2:]] == [Conflict, Unauthenticated]
    assert writer.groups[1:] == [["a", "bad", "stranger"], ["a"], ["bad"], ["stranger"]]
    assert stored(database) == ["a", "first", "stranger"]


def test_a_busy_database_is_asked_again_and_then_said_to_be_busy(
    database: Database, committer: GroupCommitter[str, str], writer: Writer
) -> None:
    writer.busy_for = 2
    assert asyncio.run(committer.commit("a")) == "A"
    writer.busy_for = 99
    with pytest.raises(Unavailable):
        asyncio.run(committer.commit("b"))
    assert stored(database) == ["a"]


def test_too_much_that_waits_is_refused_and_large_groups_are_cut(
    committer: GroupCommitter[str, str], writer: Writer
) -> None:
    answers = asyncio.run(behind_the_first(committer, writer, ["a", "b", "c", "d"], size=3))
    assert answers[:4] == ["FIRST", "A", "B", "C"]
    assert isinstance(answers[4], Unavailable)
    assert writer.groups == [["first"], ["a", "b"], ["c"]]


def test_one_item_may_be_larger_than_any_bound(committer: GroupCommitter[str, str]) -> None:
    assert asyncio.run(committer.commit("large", size=1000)) == "LARGE"


def test_closing_writes_what_waits_and_takes_no_more(
    database: Database, committer: GroupCommitter[str, str], writer: Writer
) -> None:
    assert asyncio.run(behind_the_first(committer, writer, ["a"])) == ["FIRST", "A"]
    committer.close()
    with pytest.raises(Unavailable):
        asyncio.run(committer.commit("late"))
    assert stored(database) == ["a", "first"]


def test_a_caller_who_no_longer_waits_does_not_disturb_the_others(
    database: Database, committer: GroupCommitter[str, str], writer: Writer
) -> None:
    async def leave_early() -> str:
        writer.may_go.clear()
        gone = asyncio.create_task(committer.commit("gone"))
        await asyncio.to_thread(writer.entered.wait, 10)
        gone.cancel()
        stays = asyncio.create_task(committer.commit("stays"))
        await asyncio.sleep(0)
        writer.may_go.set()
        return await stays

    assert asyncio.run(leave_early()) == "STAYS"
    assert stored(database) == ["gone", "stays"]


def test_its_thread_ends_when_nothing_comes_and_starts_again(
    committer: GroupCommitter[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.group_commit.IDLE_SECONDS", 0.01)
    assert asyncio.run(committer.commit("a")) == "A"
    for thread in [thread for thread in threading.enumerate() if thread.name == "group-commit"]:
        thread.join(10)
        assert not thread.is_alive()
    assert asyncio.run(committer.commit("b")) == "B"
