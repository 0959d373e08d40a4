"""What a dry run says is what happens when the same events come in while the rule is on."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.rules import service as rules
from tests.conftest import START
from tests.integration.rule_world import ORDERED, TAG, attributes_of, fired, happens, person, put, rule, tick

USERS = ("ann", "bob", "cyd")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from((ORDERED, "Looked")),
        st.integers(0, 20),  # revenue
        st.sampled_from((1, 60, 3600, 86_400, 3 * 86_400)),  # seconds until the next
    ),
    max_size=12,
)
CONDITIONS = st.sampled_from(
    (
        {},
        {"plan": "paid"},
        {"$not": {"tags": {"$in": ["buyer"]}}},
        {"$event": {"name": "Looked", "within": "2d"}},
        {"$event": {"name": ORDERED, "within": "4d", "count": {"$gte": 2}}},
        {"$not": {"$event": {"name": ORDERED, "properties": {"revenue": {"$gt": 15}}}}},
        {"joined_at": {"$olderThan": "2d"}, "level": {"$ne": "high"}},
    )
)
RULES = st.fixed_dictionaries(
    {
        "trigger": st.sampled_from(
            (
                {"type": "event", "event": ORDERED},
                {"type": "event", "event": ORDERED, "properties": {"revenue": {"$gte": 10}}},
            )
        ),
        "condition": CONDITIONS,
        "actions": st.sampled_from(
            ([TAG], [{"type": "set_attribute", "name": "level", "value": "high"}], [{**TAG, "tag": "other"}])
        ),
        "cool_down": st.sampled_from((None, "1h", "2d")),
        "once_per_user": st.booleans(),
    }
)


@contextmanager
def _fresh(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(template, Path(folder) / "touchstone.db")
        database = Database(f"sqlite:///{folder}/touchstone.db")
        yield database
        database.dispose()


def _people(database: Database, clock: SteppedClock) -> None:
    joined = (START - timedelta(days=1)).isoformat()
    for user_id, plan in zip(USERS, ("free", "paid", None), strict=True):
        person(database, clock, user_id, plan=plan, joined_at=joined)


@settings(max_examples=30)
@given(events=EVENTS, changes=RULES)
def test_a_dry_run_is_what_really_happens(sqlite_template: Path, events, changes) -> None:
    document = rule(**changes)
    with _fresh(sqlite_template) as tried, _fresh(sqlite_template) as real:
        clock = SteppedClock(START)
        for database in (tried, real):
            _people(database, clock)
        put(real, clock, document)
        for user_id, name, revenue, seconds in events:
            for database in (tried, real):
                happens(database, clock, user_id, name=name, revenue=revenue)
            tick(real, clock)
            clock.advance(timedelta(seconds=seconds))
        with tried.snapshot() as session:
            said = rules.dry_run(session, clock, document=document, days=60)
        assert [firing.user_id for firing in said.firings] == [user_id for user_id, _ in fired(real)]
        with real.snapshot() as session:
            times = [row.at for row, _ in rules.firings(session, key="buyers")][::-1]
        assert [firing.at for firing in said.firings] == times
        assert attributes_of(tried, "ann").get("tags") is None
