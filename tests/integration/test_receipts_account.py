"""What webhooks tell of templates, numbers, the account and people's names changes what we do, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from delivery.fuses import breakers, numbers
from delivery.fuses.breakers import ACCOUNT, EVERYTHING, Kind
from delivery.models import Template
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from tests.integration import outbox
from tests.integration.outbox import NUMBER, later
from tests.integration.webhooks import (
    change_of,
    come,
    is_granted,
    preference,
    project,
    sent_out,
    status,
    text_from,
)

DISPLAY = "12025550199"
NAMED = {"message_template_name": "promo_a", "message_template_language": "en_US"}
DISABLED = {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}
REINSTATED = {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}


def _open(database: Database, clock: SteppedClock) -> frozenset[tuple[str, str]]:
    with database.snapshot() as session:
        return breakers.open_keys(session, clock.now())


def _say(
    database: Database, clock: SteppedClock, field: str, value: dict[str, Any], *, seconds: float = 0
) -> None:
    come(database, clock, change_of(field, value, at=later(clock, seconds=seconds)))
    project(database, clock)


def test_an_account_that_is_disabled_stops_everything_until_it_is_reinstated(
    database: Database, clock: SteppedClock
) -> None:
    clock.advance(timedelta(minutes=1))
    _say(database, clock, "account_update", DISABLED, seconds=-30)
    assert _open(database, clock) == {(Kind.ALL, ACCOUNT), EVERYTHING}
    _say(database, clock, "account_update", REINSTATED, seconds=-20)
    assert _open(database, clock) == frozenset()
    _say(database, clock, "account_update", DISABLED, seconds=-30)
    assert _open(database, clock) == frozenset()


def test_a_restriction_ends_when_it_says(database: Database, clock: SteppedClock) -> None:
    ends = int(later(clock, hours=2).timestamp())
    item = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": ends}
    _say(database, clock, "account_update", {"event": "ACCOUNT_RESTRICTION", "restriction_info": [item]})
    assert EVERYTHING in _open(database, clock)
    clock.advance(timedelta(hours=2))
    assert _open(database, clock) == frozenset()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "account_update",
            {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}},
            "ACCOUNT_VIOLATION SPAM",
        ),
        ("phone_number_quality_update", {"event": "FLAGGED", "display_phone_number": DISPLAY}, "FLAGGED"),
    ],
    ids=["violation", "flagged"],
)
def test_a_warning_is_kept_and_logged_once_and_stops_nothing(
    database: Database,
    clock: SteppedClock,
    caplog: pytest.LogCaptureFixture,
    field: str,
    value: dict[str, Any],
    said: str,
) -> None:
    _say(database, clock, field, value)
    _say(database, clock, field, value)
    assert _open(database, clock) == frozenset()
    with database.snapshot() as session:
        known = numbers.state_of(session, NUMBER)
    assert known is not None
    assert (known.status, known.status_at) == (said, clock.now())
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert said in warnings[0]


def test_a_violation_that_comes_with_a_restriction_stops_and_unflagged_does_not_end_it(
    database: Database, clock: SteppedClock
) -> None:
    item = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}
    _say(database, clock, "account_update", {"event": "ACCOUNT_VIOLATION", "restriction_info": [item]})
    assert EVERYTHING in _open(database, clock)
    number = {"display_phone_number": DISPLAY, "current_limit": "TIER_250"}
    for seconds, event in enumerate(("RESTRICTED", "UNFLAGGED")):
        _say(database, clock, "phone_number_quality_update", number | {"event": event}, seconds=seconds)
    assert (Kind.NUMBER, NUMBER) in _open(database, clock)


def test_a_restricted_number_is_ours_until_its_digits_are_known_to_be_another_s(
    database: Database, clock: SteppedClock
) -> None:
    restricted = {
        "display_phone_number": "+1 202-555-0177",
        "event": "RESTRICTED",
        "current_limit": "TIER_250",
    }
    _say(database, clock, "phone_number_quality_update", restricted)
    assert (Kind.NUMBER, NUMBER) in _open(database, clock)
    (pk,) = sent_out(database, clock)
    metadata = {"phone_number_id": NUMBER, "display_phone_number": DISPLAY}
    sent = {"metadata": metadata, "statuses": [status("sent", clock.now(), str(pk))]}
    come(database, clock, change_of("messages", sent))
    project(database, clock)
    assert (Kind.NUMBER, NUMBER) not in _open(database, clock)
    _say(database, clock, "phone_number_quality_update", restricted | {"display_phone_number": DISPLAY})
    assert (Kind.NUMBER, NUMBER) in _open(database, clock)
    _say(
        database,
        clock,
        "phone_number_quality_update",
        {"display_phone_number": DISPLAY, "event": "UNRESTRICTED"},
        seconds=1,
    )
    clock.advance(timedelta(seconds=2))
    assert (Kind.NUMBER, NUMBER) not in _open(database, clock)


def test_the_newest_limit_counts_whether_said_of_the_number_or_of_the_account(
    database: Database, clock: SteppedClock
) -> None:
    clock.advance(timedelta(minutes=1))
    limits = [("TIER_1K", -40, "phone"), ("TIER_10K", -10, "account"), ("TIER_250", -30, "phone")]
    for tier, seconds, of in limits:
        field = "phone_number_quality_update" if of == "phone" else "business_capability_update"
        value = {"display_phone_number": DISPLAY, "event": "UPGRADE", "current_limit": tier}
        if of == "account":
            value = {"max_daily_conversations_per_business": tier}
        _say(database, clock, field, value, seconds=seconds)
    with database.snapshot() as session:
        known = numbers.state_of(session, NUMBER)
        everything = numbers.all_states(session)
    assert known is not None
    assert (known.unique_users, known.unique_users_at) == (10_000, later(clock, seconds=-10))
    assert everything == [known]


def test_what_is_said_of_a_template_changes_its_row_part_by_part(
    database: Database, clock: SteppedClock
) -> None:
    row = Template(
        name="promo_a",
        language="en_US",
        category="marketing",
        status="APPROVED",
        components=[{"type": "BODY", "text": "Hi", "example": 1}],
        changed_at=clock.now(),
        synced_at=clock.now(),
        status_at=clock.now(),
    )
    outbox.change(database, lambda session: session.add(row))
    clock.advance(timedelta(minutes=1))
    said = [
        ("message_template_quality_update", {"new_quality_score": "RED"}, -10),
        ("message_template_status_update", {"event": "PAUSED"}, -20),
        ("message_template_status_update", {"event": "DISABLED"}, -70),
        ("template_category_update", {"new_category": "UTILITY"}, -30),
        ("message_template_components_update", {"message_template_element": "Hello"}, -5),
    ]
    for field, value, seconds in said:
        _say(database, clock, field, NAMED | value, seconds=seconds)
    with database.snapshot() as session:
        found = session.get(Template, ("promo_a", "en_US"))
    assert found is not None
    assert (found.status, found.quality, found.category) == ("PAUSED", "RED", "utility")
    assert found.components == [{"type": "BODY", "text": "Hello", "example": 1}]
    assert found.changed_at == later(clock, seconds=-5)
    assert _open(database, clock) == {(Kind.TEMPLATE, "promo_a/en_US")}


def _moved(old: str, new: str, clock: SteppedClock) -> dict[str, Any]:
    body = text_from(old, "", clock.now())
    (message,) = body["entry"][0]["changes"][0]["value"]["messages"]
    message |= {"type": "system", "system": {"wa_id": new.removeprefix("+"), "type": "user_changed_number"}}
    return body


def test_who_changes_number_is_written_to_at_the_new_one_and_known_by_both(
    database: Database, clock: SteppedClock
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    old, new = outbox.phone_of(0), outbox.phone_of(50)
    come(database, clock, _moved(old, new, clock))
    assert project(database, clock).inbound == 0
    with database.snapshot() as session:
        user = session.get(User, user_pk)
    assert user is not None
    assert (user.phone, user.last_inbound_at) == (new, None)
    come(database, clock, text_from(old, "STOP", clock.now()))
    assert project(database, clock).withdrawn == 1
    assert not is_granted(database, user_pk)


def test_a_number_that_is_somebody_else_s_is_not_taken(database: Database, clock: SteppedClock) -> None:
    one, two = outbox.add_users(database, clock, 2)
    come(database, clock, _moved(outbox.phone_of(0), outbox.phone_of(1), clock))
    project(database, clock)
    with database.snapshot() as session:
        phones = [session.get_one(User, pk).phone for pk in (one, two)]
    assert phones == [outbox.phone_of(0), outbox.phone_of(1)]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_of_a_stop_and_a_resume_the_newer_counts_in_any_order(
    database: Database, clock: SteppedClock, order: tuple[int, ...], together: bool
) -> None:
    (user_pk,) = outbox.add_users(database, clock, 1)
    phone = outbox.phone_of(0)
    said = [
        preference(phone, value, later(clock, seconds=at))
        for at, value in ((1, "stop"), (2, "resume"), (0, "stop"))
    ]
    clock.advance(timedelta(minutes=1))
    for index in order:
        come(database, clock, said[index])
        if not together:
            project(database, clock)
    project(database, clock)
    assert is_granted(database, user_pk)


def test_a_copy_of_an_old_stop_does_not_undo_what_was_agreed_since(
    database: Database, clock: SteppedClock
) -> None:
    from targeting import consent

    (user_pk,) = outbox.add_users(database, clock, 1)
    stop = text_from(outbox.phone_of(0), "STOP", clock.now())
    come(database, clock, stop)
    project(database, clock)
    assert not is_granted(database, user_pk)
    clock.advance(timedelta(minutes=1))
    outbox.change(
        database,
        lambda session: consent.grant(session, clock, user_pk=user_pk, category="marketing", source="crm"),
    )
    come(database, clock, stop)
    project(database, clock)
    assert is_granted(database, user_pk)


def test_a_status_of_another_number_is_nobody_s_message_and_no_error(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    foreign = status("delivered", clock.now(), str(pk), wamid="wamid.foreign")
    metadata = {"phone_number_id": "777", "display_phone_number": "12025550177"}
    come(database, clock, change_of("messages", {"metadata": metadata, "statuses": [foreign]}))
    project(database, clock)
    assert outbox.message(database, pk).state == "inflight"
    clock.advance(timedelta(hours=1))
    assert project(database, clock).errors == 0
    assert outbox.message(database, pk).state == "inflight"
