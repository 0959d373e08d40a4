"""Who came by an event, and why the others were left out; on both databases."""

from api.experiment_schemas import EnrolmentAnswer, EnrolmentCounts
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting import campaigns
from tests.integration.people import REMINDER, add_people, campaign
from tests.integration.rule_world import ORDERED, happens, put, rule, tick

ON_ORDER = {"type": "event", "event": ORDERED, "delay": "2h"}
BOTH = [REMINDER | {"control": True}, REMINDER | {"key": "other"}]


def test_who_came_and_who_was_left_out_is_counted(database: Database, clock: SteppedClock) -> None:
    def counted() -> EnrolmentAnswer:
        with database.snapshot() as session:
            walked = campaigns.enrolment_of(session, key="spring")
            return EnrolmentAnswer.of(walked, campaigns.counts_by_rule(session, key="spring"))

    with database.transaction() as session:
        add_people(session, clock, range(1, 9))
        add_people(session, clock, range(9, 12), consent=[])
        audience = {"forced": {"user-1": "other"}}
        document = campaign(trigger=ON_ORDER, variants=BOTH, audience=audience)
        campaigns.create(session, clock, actor="test", document=document)
    assert counted() == EnrolmentAnswer()
    with database.transaction() as session:
        campaigns.start(session, clock, actor="test", key="spring")
    # Another rule was there first for one of them: the campaign's own has brought nobody by that.
    put(
        database,
        clock,
        rule(
            "lookers",
            trigger={"type": "event", "event": "Looked"},
            actions=[{"type": "enrol", "experiment": "spring"}],
        ),
    )
    happens(database, clock, "user-4", name="Looked")
    tick(database, clock)
    for users in [("user-1", "user-2", "user-3", "user-4", "user-9"), ("user-3", "user-10", "user-11")]:
        happens(database, clock, *users)
        tick(database, clock)
    found = counted()
    assert (found.assigned, found.excluded) == (2, {"consent": 3})
    assert found.forced == EnrolmentCounts(assigned=1)
