"""`plan.ends_after`: who would not count by then no longer enters, and then the report concludes. On both databases."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.design import read_design
from experiments.ending import closes_at
from experiments.errors import Invalid
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, design, store
from tests.integration.people import REMINDER, add_people, campaign, start_campaign
from tests.integration.rule_world import ORDERED, assigned, happens, tick
from tests.integration.test_report import look, start

MESSAGE = {"template": "spring", "language": "en_US"}
ON_CART = {"type": "event", "event": "Cart"}
BOUGHT = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "2d"}
STAYED = {"key": "stayed", "role": "secondary", "kind": "count", "event": "Visit", "window": "3d"}


def ending(**changes: Any) -> dict[str, Any]:
    parts = {
        "variants": [{"key": "silence", "control": True}, {"key": "coupon", "message": MESSAGE}],
        "metrics": [BOUGHT, STAYED],
        "trigger": ON_CART,
        "plan": {"method": "always_valid", "mde": 0.1, "ends_after": "10d"},
    }
    return design(**{**parts, **changes})


def came(database: Database, rates: dict[str, float], *, users: int = 1200, days: int = 7) -> None:
    """Users who came evenly over some days, of whom a share buys within the hour."""
    rng = np.random.default_rng(3)
    people = [
        Assigned(i + 1, "coupon" if i % 2 else "silence", START + i * days / users * DAY)
        for i in range(users)
    ]
    bought = [
        Happened(each.user, "Order", each.at + HOUR) for each in people if rng.random() < rates[each.variant]
    ]
    store(database, assigned=people, happened=bought)


@pytest.mark.parametrize("method", ["always_valid", "exact", "spending", "fixed"])
def test_nothing_found_by_the_planned_end_is_inconclusive(
    database: Database, clock: SteppedClock, method: str
) -> None:
    start(database, clock, ending(plan={"method": method, "mde": 0.1, "ends_after": "10d"}))
    came(database, {"silence": 0.2, "coupon": 0.2})
    # Until 7 days after the start users enter, and 3 days later the last of them counts.
    clock.advance(9.9 * DAY)
    before = look(database, clock).body["decision"]
    assert before["action"] == "continue"
    clock.advance(0.2 * DAY)
    decision = look(database, clock).body["decision"]
    assert (decision["action"], decision["rule"]) == ("inconclusive", "undecided")
    assert "the planned end is reached" in decision["because"]


def test_what_is_found_by_then_is_shipped_and_without_an_end_it_goes_on(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock, ending(plan={"method": "fixed", "mde": 0.1, "ends_after": "10d"}))
    came(database, {"silence": 0.2, "coupon": 0.4})
    clock.advance(9 * DAY)
    # One look at the end is what `fixed` allows; with users who come by and by it is the planned end that makes one.
    assert look(database, clock).body["decision"]["rule"] == "not_yet"
    clock.advance(1.1 * DAY)
    assert look(database, clock).body["decision"]["rule"] == "winner"


def test_without_a_planned_end_more_data_may_decide(database: Database, clock: SteppedClock) -> None:
    start(database, clock, ending(plan={"method": "always_valid", "mde": 0.1}))
    came(database, {"silence": 0.2, "coupon": 0.2})
    clock.advance(60 * DAY)
    assert look(database, clock).body["decision"]["action"] == "continue"


def test_a_trigger_that_closes_by_itself_ends_too(database: Database, clock: SteppedClock) -> None:
    until = (START + 7 * DAY).isoformat().replace("+00:00", "Z")
    start(database, clock, ending(trigger={**ON_CART, "until": until}, plan={"method": "always_valid"}))
    came(database, {"silence": 0.2, "coupon": 0.2})
    clock.advance(10.1 * DAY)
    assert look(database, clock).body["decision"]["action"] == "inconclusive"


def test_who_would_not_count_by_the_planned_end_does_not_enter(
    database: Database, clock: SteppedClock
) -> None:
    plan = {"ends_after": "10d"}
    with database.transaction() as session:
        add_people(session, clock, range(1, 5))
        start_campaign(
            session,
            clock,
            campaign(
                trigger={"type": "event", "event": ORDERED},
                variants=[REMINDER | {"control": True}, REMINDER | {"key": "other"}],
                metrics=[BOUGHT, STAYED],
                plan=plan,
            ),
        )
    clock.advance(6.9 * DAY)
    happens(database, clock, "user-1")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}
    clock.advance(0.2 * DAY)
    happens(database, clock, "user-2")
    tick(database, clock)
    assert set(assigned(database)) == {"user-1"}


def test_when_it_closes() -> None:
    started = START

    def closing(**changes: Any) -> Any:
        return closes_at(read_design(ending(**changes), library={}), started)

    assert closing() == started + 7 * DAY
    soon = (started + 2 * DAY).isoformat().replace("+00:00", "Z")
    assert closing(trigger={**ON_CART, "until": soon}) == started + 2 * DAY
    assert closing(trigger={"type": "rule", "at": soon}) == started + 9 * DAY
    assert closing(plan={}) is None
    assert closing(trigger={"type": "once"}) is None
    # The messages of a recurring campaign are for those who joined before, too: it goes on to the planned end itself.
    weekly = {"type": "recurring", "cron": "0 9 * * *"}
    first = closing(trigger=weekly)
    assert started + 10 * DAY <= first < started + 11 * DAY


def test_an_end_that_lets_nobody_count_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        read_design(ending(plan={"ends_after": "3d"}), library={})
    assert [problem.field for problem in refused.value.problems] == ["plan.ends_after"]
    assert "longest window, 3d" in refused.value.problems[0].message
    read_design(ending(plan={"ends_after": "3d"}, trigger={"type": "once"}), library={})
    read_design(ending(plan={"ends_after": timedelta(days=4)}), library={})
