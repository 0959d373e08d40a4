"""Campaigns that run with templates that change under them: what the list and the webhooks say reaches their fuses."""

import json
from typing import Any

import pytest
from sqlmodel import select

from api import jobs
from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.models import Breaker, WebhookBody
from experiments.database import Database
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.registry import register, template


@pytest.fixture(autouse=True)
def running(wiring: Wiring) -> None:
    message = {"template": "reminder", "language": "en_US", "languages": ["nl"]}
    other = {"template": "coupon", "language": "en_US"}
    variants = [
        {"key": "silence", "control": True},
        {"key": "reminder", "message": message},
        {"key": "coupon", "message": other},
    ]
    with wiring.database.transaction() as session:
        add_people(session, wiring.clock, range(1, 5))
        for key, category in (("news", "marketing"), ("order", "utility")):
            document = campaign(key, category=category, variants=variants)
            start_campaign(session, wiring.clock, document)


def put(wiring: Wiring, **changes: Any) -> None:
    """The list names both templates as utility, `reminder` in two languages; `changes` are of `reminder` in `nl`."""
    with wiring.database.transaction() as session:
        register(
            session,
            wiring.clock,
            template("reminder", "en_US", category="utility"),
            template("reminder", "nl", **{"category": "utility"} | changes),
            template("coupon", "en_US", category="utility"),
        )


def fuses(database: Database, wiring: Wiring) -> dict[tuple[str, str], str]:
    with database.snapshot() as session:
        rows = session.exec(select(Breaker)).all()
    return {(row.kind, row.key): row.reason for row in rows if breakers.is_open(row, wiring.clock.now())}


def test_a_status_that_no_webhook_told(database: Database, wiring: Wiring) -> None:
    put(wiring)
    assert fuses(database, wiring) == {}
    wiring.clock.advance(breakers.LONGEST_PAUSE)  # type: ignore[attr-defined]
    put(wiring, status="PAUSED")
    assert fuses(database, wiring) == {("template", "reminder/nl"): "PAUSED: so says the list of templates"}
    wiring.clock.advance(breakers.LONGEST_PAUSE)  # type: ignore[attr-defined]
    put(wiring)
    assert fuses(database, wiring) == {}


def test_a_template_that_becomes_marketing_stops_where_people_did_not_consent(
    database: Database, wiring: Wiring
) -> None:
    put(wiring)
    wiring.clock.advance(breakers.LONGEST_PAUSE)  # type: ignore[attr-defined]
    put(wiring, category="marketing")
    assert fuses(database, wiring) == {
        ("variant", "order/reminder"): "the template 'reminder' is marketing now, and the campaign utility"
    }
    with database.transaction() as session:
        breakers.close(session, wiring.clock, actor="ann", kind=breakers.Kind.VARIANT, key="order/reminder")
    wiring.clock.advance(breakers.LONGEST_PAUSE)  # type: ignore[attr-defined]
    put(wiring, category="marketing")
    assert fuses(database, wiring) == {}  # somebody has decided, and nothing has changed since


def test_the_same_told_by_a_webhook(database: Database, wiring: Wiring) -> None:
    put(wiring)
    wiring.clock.advance(breakers.LONGEST_PAUSE)  # type: ignore[attr-defined]
    now = wiring.clock.now()
    value = {
        "message_template_id": 12,
        "message_template_name": "reminder",
        "message_template_language": "nl",
        "previous_category": "UTILITY",
        "new_category": "MARKETING",
    }
    change = {"field": "template_category_update", "value": value}
    entry = {"id": "1", "time": int(now.timestamp()), "changes": [change]}
    body = {"object": "whatsapp_business_account", "entry": [entry]}
    with database.transaction() as session:
        session.add(WebhookBody(body=json.dumps(body).encode(), received_at=now))
    jobs.JOBS["project-webhooks"](wiring)
    assert list(fuses(database, wiring)) == [("variant", "order/reminder")]
