"""Several engines at once: every occasion is taken once, and limits hold across engines."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.rules.engine import Ticked
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.rule_world import (
    TAG,
    assigned,
    attributes_of,
    error_of,
    happens,
    put,
    rule,
    tick,
    times_fired,
    waiting,
)

ENGINES = 4
USERS = [f"user-{number}" for number in range(1, 41)]
TIMES = 6


@pytest.mark.slow
def test_engines_side_by_side(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, len(USERS) + 1))
        start_campaign(session, clock, campaign(trigger={"type": "rule"}))
    enrol = {"type": "enrol", "experiment": "spring"}
    put(
        database,
        clock,
        rule("always", actions=[TAG]),
        rule("once", actions=[{**TAG, "tag": "first"}, enrol], once_per_user=True),
        rule("weekly", actions=[{**TAG, "tag": "weekly"}], cool_down="7d"),
        rule("daily", trigger={"type": "schedule", "cron": "0 12 * * *"}),
    )
    for _ in range(TIMES):
        happens(database, clock, *USERS)
    clock.advance(timedelta(hours=3))

    url = database.url.render_as_string(hide_password=False)

    def engine(_number: int) -> Ticked:
        own = Database(url)
        try:
            return tick(own, clock, batch=7, stretch=5)
        finally:
            own.dispose()

    with ThreadPoolExecutor(ENGINES) as pool:
        done = list(pool.map(engine, range(ENGINES)))
    tick(database, clock)  # what the last of them held when the others looked
    assert waiting(database) == 0
    assert sum(each.parked for each in done) == 0
    assert times_fired(database, "always") == dict.fromkeys(USERS, TIMES)
    for key in ("once", "weekly", "daily"):
        assert times_fired(database, key) == dict.fromkeys(USERS, 1), key
        assert error_of(database, key) is None
    assert {source for _, source in assigned(database).values()} == {"rule:once"}
    assert len(assigned(database)) == len(USERS)
    assert all(
        sorted(attributes_of(database, user_id)["tags"]) == ["buyer", "first", "weekly"]
        for user_id in USERS[:5]
    )
