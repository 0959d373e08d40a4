"""Whether each message of a campaign can be written is tried before anybody is messaged, and what is hopeless is called so. On both databases."""

from typing import Any

import pytest
from sqlmodel import select

from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.content_settings import ContentSource
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Event
from tests.integration.enrolling import begin
from tests.integration.people import REMINDER, SILENCE, add_people
from tests.integration.planned_world import DAY, HOUR, document, plan, send

NAMED, ALL = 24, 30
TWO = [SILENCE, REMINDER]


def saying(key: str, *parameters: str, **more: Any) -> dict[str, Any]:
    message = {"template": "reminder", "language": "en_US", "parameters": list(parameters)}
    return {**REMINDER, "key": key, "message": message, **more}


@pytest.fixture
def people(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, NAMED + 1), attributes={"first_name": "Ann"})
        add_people(session, clock, range(NAMED + 1, ALL + 1))


@pytest.mark.usefixtures("people")
def test_a_message_is_tried_on_who_could_take_part(database: Database, clock: SteppedClock) -> None:
    variants = [
        SILENCE,
        saying("named", "{{ user.first_name }}"),
        saying("nicknamed", "{{ user.nickname }}"),
        saying("plain", "you"),
    ]
    made = plan(database, clock, document(variants=variants))
    found = {each.variant: each for each in made.messages}
    assert list(found) == ["named", "nicknamed", "plain"]
    assert [(each.checked, each.failed) for each in made.messages] == [
        (ALL, ALL - NAMED),
        (ALL, ALL),
        (ALL, 0),
    ]
    assert [(each.field, each.users) for each in found["nicknamed"].reasons] == [("parameters[0]", ALL)]
    assert "nickname" in found["nicknamed"].reasons[0].reason
    told = [line for line in made.warnings if "cannot be written" in line]
    assert [line.split(" cannot")[0] for line in told] == [
        "the message of 'named'",
        "the message of 'nicknamed'",
    ]
    assert f"for {ALL - NAMED} of the {ALL} users" in told[0]
    assert f"for any of the {ALL} users" in told[1]


@pytest.mark.usefixtures("people")
def test_the_event_that_lets_users_in_has_happened_by_then(database: Database, clock: SteppedClock) -> None:
    said = document(
        variants=[SILENCE, saying("thanks", "{{ events['Order'].shop }}")],
        trigger={"type": "event", "event": "Order"},
    )
    (nobody,) = plan(database, clock, said).messages
    assert (nobody.failed, nobody.unknown) == (None, "nobody is there to try it on")
    at = clock.now() - HOUR
    with database.transaction() as session:
        for user, properties in ((1, {"shop": "Leiden"}), (2, {})):
            session.add(
                Event(
                    message_id=f"m-{user}",
                    user_pk=user,
                    name="Order",
                    at=at,
                    received_at=at,
                    properties=properties,
                )
            )
    (thanks,) = plan(database, clock, said).messages
    assert (thanks.checked, thanks.failed) == (2, 1)


@pytest.mark.usefixtures("people")
def test_content_of_others_is_not_asked_for(database: Database, clock: SteppedClock) -> None:
    # Nothing listens there: had it been asked, that would be a failure.
    source = ContentSource.model_validate({"url": "http://127.0.0.1:9/{user_id}"})
    said = document(variants=[SILENCE, saying("offer", "{{ content.offers.best }}")])
    (offer,) = plan(database, clock, said, settings=Settings(content_sources={"offers": source})).messages
    assert (offer.checked, offer.failed) == (0, None)
    assert offer.unknown is not None
    assert "offers" in offer.unknown


@pytest.mark.usefixtures("people")
def test_arms_too_small_for_any_decision_are_said(database: Database, clock: SteppedClock) -> None:
    made = plan(database, clock, document())
    assert any(
        line.startswith(f"the {ALL} users who take part make 10 in the smallest of 3 arms, and below 100")
        for line in made.warnings
    )
    fewer = {**document()["plan"], "rules": {"min_users": 10}}
    assert not any("smallest" in line for line in plan(database, clock, document(plan=fewer)).warnings)


@pytest.mark.usefixtures("people")
def test_without_a_past_the_best_base_says_whether_it_is_hopeless(
    database: Database, clock: SteppedClock
) -> None:
    bought = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", "window": "3d"}
    small = {"method": "fixed", "power": 0.8, "alpha": 0.05, "mde": 0.1}
    made = plan(database, clock, document(variants=TWO, metrics=[bought], plan=small))
    (primary,) = made.metrics
    assert primary.base is None
    assert primary.least_users is not None
    assert primary.least_users > ALL
    # At the best base, 90 %, the plan needs just as many.
    best = plan(
        database, clock, document(variants=TWO, metrics=[bought], plan=small), baseline={"bought": 0.9}
    )
    assert best.metrics[0].users_needed == primary.least_users
    assert made.verdict[0].startswith("bought: too few, whatever users are like: even if 90% of them did it")
    # .. and at a worse one, more.
    worse = plan(
        database, clock, document(variants=TWO, metrics=[bought], plan=small), baseline={"bought": 0.5}
    )
    assert (worse.metrics[0].users_needed or 0) > primary.least_users
    # With users enough for that, nobody knows.
    many = plan(database, clock, document(variants=TWO, metrics=[bought], plan=small), users=10**6)
    assert many.verdict[0].startswith("bought: cannot tell")


@pytest.mark.usefixtures("people")
def test_what_was_taken_and_never_delivered_did_not_arrive(database: Database, clock: SteppedClock) -> None:
    then = clock.now() - 3 * DAY
    with database.transaction() as session:
        earlier = begin(session, clock, key="earlier")
        for step in range(100):
            send(session, user=1, at=then, state="read", experiment_id=earlier.id or 0, step=step)
        # Two of which WhatsApp took one, which it could never deliver; the other never went out.
        for user in (2, 3):
            send(session, user=user, at=then, state="suppressed", experiment_id=earlier.id or 0, step=0)
        session.flush()
        for message in session.exec(select(Message).where(Message.state == "suppressed")):
            message.slot_at, message.failed_at = None, then + DAY
            message.accepted_at = then if message.user_pk == 2 else None
    made = plan(database, clock, document())
    assert made.reach == pytest.approx(100 / 101)
    assert made.reach_source == (
        "of 101 marketing messages of all campaigns that went out in the last month, without its last day, 100 arrived"
    )
