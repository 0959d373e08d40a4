"""Click links on both databases."""

import re
from datetime import timedelta

import pytest
from sqlmodel import Session, select

from delivery.content import links
from delivery.models import Click, Link, Message
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.vocabulary import MessageState
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign

URL = "https://shop.example/spring?utm=a&b=%20c#top"


def three_messages(session: Session, clock: SteppedClock) -> list[int]:
    add_people(session, clock, [1, 2, 3])
    experiment = start_campaign(session, clock, campaign(variants=[SILENCE, REMINDER]))
    messages = [
        Message(
            experiment_id=experiment.id or 0,
            user_pk=number,
            variant="reminder",
            category="marketing",
            state=MessageState.SENT,
            first_due_at=clock.now(),
            due_at=clock.now(),
        )
        for number in (1, 2, 3)
    ]
    session.add_all(messages)
    session.flush()
    return [message.id or 0 for message in messages]


def test_each_message_gets_a_token_of_its_own_and_keeps_it(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        first, second, third = three_messages(session, clock)
        before = links.create(session, targets={first: URL, second: URL})
    with database.transaction() as session:
        again = links.create(session, targets={first: URL, second: URL, third: URL})
        assert links.create(session, targets={}) == {}
    assert before.items() < again.items()
    assert len(set(again.values())) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in again.values())
    with database.snapshot() as session:
        assert len(session.exec(select(Link)).all()) == 3


def test_a_click_is_counted_and_leads_on(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        first, second, _ = three_messages(session, clock)
        tokens = links.create(session, targets={first: URL, second: URL})
    clicked = clock.now()
    for _ in range(2):
        with database.transaction() as session:
            assert links.click(session, clock, token=tokens[first]) == URL
        clock.advance(timedelta(hours=1))
    with database.snapshot() as session:
        clicks = session.exec(select(Click).order_by(Click.at)).all()  # type: ignore[arg-type]
        assert [(click.token, click.at) for click in clicks] == [
            (tokens[first], clicked),
            (tokens[first], clicked + timedelta(hours=1)),
        ]
        messages = {message.id: message for message in session.exec(select(Message))}
    assert messages[first].clicked_at == clicked
    assert messages[second].clicked_at is None
    # That somebody clicked is no word of WhatsApp's about the message.
    assert {message.state for message in messages.values()} == {MessageState.SENT}


@pytest.mark.parametrize("token", ["", "nobody-gave-this-out", "x" * 5_000, "' OR 1=1 --"])
def test_a_token_that_was_never_given_out_is_not_found(
    database: Database, clock: SteppedClock, token: str
) -> None:
    with pytest.raises(NotFound), database.transaction() as session:
        links.click(session, clock, token=token)
    with database.snapshot() as session:
        assert session.exec(select(Click)).all() == []
