"""Several segments at once: without time for everybody an estimate, which holds the truth as often as it says."""

import numpy as np
from sqlalchemy import insert

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from targeting.segments import combining, service


def test_without_time_each_combination_is_an_estimate_that_holds_the_truth(
    database: Database, clock: SteppedClock
) -> None:
    now = clock.now()
    rows = [
        {
            "id": 2 * n + 1,
            "user_id": f"u{n}",
            "attributes": {"five": n % 5 == 0, "half": n % 2 == 0},
            "created_at": now,
            "updated_at": now,
        }
        for n in range(3000)
    ]
    with database.transaction() as session:
        session.connection().execute(insert(User), rows)
        for key in ("five", "half"):
            service.put(session, clock, actor="test", key=key, name=key, condition={key: {"$eq": True}})
        service.put(session, clock, actor="test", key="nobody", name="x", condition={"none": 1})
    truth = {("five",): 300, ("half",): 1200, ("five", "half"): 300}
    held = 0
    for seed in range(10):
        with database.snapshot() as session:
            found = combining.combinations(
                session,
                clock,
                keys=["five", "half", "nobody"],
                rng=np.random.default_rng(seed),
                drawn=1500,
                seconds=0.0,
            )
        assert found.users.keys() == truth.keys()
        assert not any(count.exact for count in found.users.values())
        assert found.sizes["nobody"].value == 0
        assert found.sizes["nobody"].upper > 0
        held += sum(found.users[key].lower <= users <= found.users[key].upper for key, users in truth.items())
        held += found.sizes["half"].lower <= 1500 <= found.sizes["half"].upper
    # 95 of 100: fewer than 33 of 40 would be a chance of 1 in 200.
    assert held >= 33


def test_with_so_few_users_that_the_draw_is_everybody_it_is_exact(
    database: Database, clock: SteppedClock
) -> None:
    now = clock.now()
    rows = [
        {"user_id": f"u{n}", "attributes": {"n": n}, "created_at": now, "updated_at": now} for n in range(50)
    ]
    with database.transaction() as session:
        for key, least in (("high", 40), ("most", 10)):
            service.put(session, clock, actor="test", key=key, name=key, condition={"n": {"$gte": least}})
        session.connection().execute(insert(User), rows)
    with database.snapshot() as session:
        drawn, counted = (
            combining.combinations(
                session, clock, keys=["high", "most"], rng=np.random.default_rng(1), seconds=seconds
            )
            for seconds in (0.0, 5.0)
        )
    assert drawn == counted
    assert counted.users[("high", "most")].value == 10
    assert counted.users[("most",)].exact
