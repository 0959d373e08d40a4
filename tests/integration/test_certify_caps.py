"""The certification of caps in small: processes on one PostgreSQL over a hurried clock. Its judge is tested here too."""

from datetime import UTC, datetime, time, timedelta

import pytest

from benchmarks import certify_caps
from benchmarks.cap_checker import Bounds, Promises, Sent, breaches
from benchmarks.certify_caps import Load, certify
from experiments.database import Database

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)


def sent(at: datetime, user: int = 1, **changes) -> Sent:
    return Sent(**{"user": user, "experiment": 1, "category": "marketing", "at": at} | changes)


@pytest.mark.slow
def test_several_processes_keep_every_promise(postgres_url: str) -> None:
    database = Database(postgres_url)
    none_broken, _ = certify(database, Load(workers=2, experiments=3, users=60, days=10, seconds=5))
    database.dispose()
    assert none_broken.met, none_broken.obtained
    assert none_broken.runs != "0 slots"


@pytest.mark.parametrize(
    ("ledger", "promises"),
    [
        (
            [sent(NOON), sent(NOON + DAY - TICK)],
            Promises(categories={"marketing": Bounds((1, None, None))}),
        ),
        (
            [sent(NOON), sent(NOON + 7 * DAY - TICK)],
            Promises(categories={"marketing": Bounds((None, 1, None))}),
        ),
        (
            [sent(NOON), sent(NOON + 2 * DAY - TICK)],
            Promises(experiments={1: Bounds(apart=2 * DAY)}),
        ),
        ([sent(NOON, zone="Asia/Kathmandu")], Promises(quiet=(time(17, 45), time(8)))),
        (
            [sent(NOON, country="GB")],
            Promises(allowed={"GB": (time(0), time(0), frozenset({0}))}),
        ),
        (
            [sent(NOON), sent(NOON, 2, last_inbound_at=NOON - DAY)],
            Promises(unique_users=1),
        ),
    ],
)
def test_the_judge_sees_each_breach_and_what_just_keeps_the_promise(ledger, promises) -> None:
    assert len(breaches(ledger, promises)) == 1
    kept = [sent(ledger[0].at + TICK * 0, country="NL"), *(slot._replace(user=9) for slot in ledger[1:])]
    if promises.unique_users is not None:
        kept = [ledger[0], ledger[1]._replace(last_inbound_at=NOON - DAY + TICK)]
    assert breaches(kept, promises) == []


def test_phones_are_from_ranges_kept_for_fiction_or_of_no_country() -> None:
    numbers = [certify_caps.phone_of(index) for index in range(1, 10_000)]
    assert len(set(numbers)) == len(numbers)
    assert {number[:9] for number in numbers if number.startswith("+4")} == {"+44770090"}
    assert {number[:4] for number in numbers} == {"+447", "+999"}
