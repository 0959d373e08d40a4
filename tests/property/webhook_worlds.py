"""A small world of messages, people and templates, the webhooks that may come about it, and what is left of them in the end."""

import json
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import select
from sqlmodel import SQLModel

from delivery.fuses.outcomes import Answered, settle
from delivery.models import Template
from delivery.outbox import dispatch_repository
from delivery.outbox.story import Story, callback_data
from delivery.receipts.inbox import project_tick, store
from delivery.whatsapp.client import Accepted
from delivery.whatsapp.error_table import CODES, ErrorClass
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from tests.conftest import START
from tests.integration import outbox
from tests.unit.delivery.stories import RULES

MESSAGES = 7
PEOPLE = MESSAGES
TEMPLATES = (("promo_a", "en_US"), ("promo_a", "nl"))
DISPLAY = "12025550199"
# How long a number that is too fast rests depends on when we hear of it: that is no state that webhooks lead to.
CODES_OF_STATUSES = sorted(
    {131049, 131026, 131050, 131000, 130472, 132012, 132015, 131042, 1} - set(CODES[ErrorClass.SLOW_DOWN])
)
COMPARED = {
    "messages": None,
    "breakers": None,
    "number_states": None,
    "templates": None,
    "user_aliases": ("kind", "value", "user_pk"),
    "consents": ("user_pk", "category", "granted"),
    "users": ("id", "phone", "last_inbound_at"),
}


def build(path: Path, template: Path) -> None:
    """The world before any webhook: messages in flight, taken, or given up, and two languages of a template."""
    shutil.copyfile(template, path)
    database, clock = Database(f"sqlite:///{path}"), SteppedClock(START)
    experiment_id = outbox.add_experiment(database, clock)
    users = outbox.add_users(database, clock, PEOPLE)
    for index, user_pk in enumerate(users):
        state = ("inflight", "accepted", "unknown")[index % 3]
        outbox.add_messages(
            database,
            clock,
            experiment_id,
            [user_pk],
            state=state,
            tries=1,
            slot_at=START,
            lease_until=START + timedelta(hours=24) if state == "inflight" else None,
            wamid=f"wamid.{index}" if state == "accepted" else None,
            accepted_at=START if state == "accepted" else None,
        )
    for name, language in TEMPLATES:
        row = Template(
            name=name, language=language, category="marketing", status="APPROVED", changed_at=START
        )
        outbox.change(database, lambda session, row=row: session.add(row))
    database.dispose()


def _seconds(at: int) -> int:
    return to_micros(START) // 1_000_000 + at


def _change(field: str, **value: Any) -> dict[str, Any]:
    return {"field": field, "value": value}


_times = st.integers(1, 12)
_people = st.integers(0, 1)


@st.composite
def _status(draw: st.DrawFn, codes: Sequence[int]) -> dict[str, Any]:
    index = draw(st.integers(0, MESSAGES - 1))
    kind = draw(st.sampled_from(["sent", "delivered", "read", "failed", "failed", "failed"]))
    status: dict[str, Any] = {
        "id": f"wamid.{index}",
        "status": kind,
        "timestamp": str(_seconds(draw(_times))),
    }
    if draw(st.booleans()):
        status["biz_opaque_callback_data"] = callback_data(index + 1, 1)
    if kind == "failed":
        # An attempt fails once, and always tells why in the same words.
        code = codes[index]
        status |= {
            "errors": [{"code": code, "title": f"error {code}"}],
            "timestamp": str(_seconds(3 + index)),
        }
    metadata = {"phone_number_id": outbox.NUMBER, "display_phone_number": DISPLAY}
    return _change("messages", metadata=metadata, statuses=[status])


@st.composite
def _inbound(draw: st.DrawFn) -> dict[str, Any]:
    at, person = draw(_times), draw(_people)
    text = draw(st.sampled_from(["hello", "STOP"]))
    message = {
        "from": outbox.phone_of(person).removeprefix("+"),
        "id": f"wamid.in.{person}.{at}.{text}",
        "timestamp": str(_seconds(at)),
        "type": "text",
        "text": {"body": text},
    }
    return _change("messages", messages=[message])


@st.composite
def _preference(draw: st.DrawFn) -> dict[str, Any]:
    item = {
        "wa_id": outbox.phone_of(draw(_people)).removeprefix("+"),
        "value": draw(st.sampled_from(["stop", "resume"])),
        "category": "marketing_messages",
        "timestamp": _seconds(draw(_times)),
    }
    return _change("user_preferences", user_preferences=[item])


@st.composite
def _template(draw: st.DrawFn) -> dict[str, Any]:
    name, language = draw(st.sampled_from(TEMPLATES))
    named = {"message_template_name": name, "message_template_language": language}
    field, value = draw(
        st.sampled_from(
            [
                ("message_template_status_update", {"event": "PAUSED", "reason": "NONE"}),
                ("message_template_status_update", {"event": "DISABLED", "reason": "NONE"}),
                ("message_template_status_update", {"event": "REINSTATED", "reason": "NONE"}),
                ("message_template_status_update", {"event": "FLAGGED", "reason": "NONE"}),
                ("message_template_quality_update", {"new_quality_score": "RED"}),
                ("message_template_quality_update", {"new_quality_score": "GREEN"}),
                ("template_category_update", {"new_category": "UTILITY"}),
                ("template_category_update", {"new_category": "MARKETING"}),
                ("message_template_components_update", {"message_template_element": "Hello {{1}}"}),
                ("message_template_components_update", {"message_template_element": "Bye {{1}}"}),
            ]
        )
    )
    return _change(field, **value, **named) | {"at": draw(_times)}


@st.composite
def _number(draw: st.DrawFn) -> dict[str, Any]:
    field, value = draw(
        st.sampled_from(
            [
                ("phone_number_quality_update", {"event": "FLAGGED", "current_limit": "TIER_2K"}),
                ("phone_number_quality_update", {"event": "UNFLAGGED", "current_limit": "TIER_10K"}),
                ("business_capability_update", {"max_daily_conversations_per_business": "TIER_250"}),
                ("business_capability_update", {"max_daily_conversations_per_business": "TIER_UNLIMITED"}),
                ("account_update", {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}),
                ("account_update", {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}),
                ("account_update", {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "X"}}),
            ]
        )
    )
    named = {"display_phone_number": DISPLAY} if field == "phone_number_quality_update" else {}
    return _change(field, **value, **named) | {"at": draw(_times)}


@st.composite
def changes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What may be said about the world; each message fails, if it does, with one code."""
    odd = st.sampled_from(CODES_OF_STATUSES)
    codes = draw(st.tuples(*(st.one_of(st.just(132012), odd) for _ in range(MESSAGES))))
    # Few kinds at a time, so that what is said about one thing is likely to contradict itself.
    every = (_status(codes), _preference() | _inbound(), _template(), _number())
    kinds = draw(st.lists(st.sampled_from(every), min_size=1, max_size=2))
    return draw(st.lists(st.one_of(*kinds), min_size=3, max_size=14))


@st.composite
def deliveries(draw: st.DrawFn, said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same changes as webhooks: in another order, some twice, some together in one body."""
    copies = draw(st.lists(st.sampled_from(said), max_size=5)) if said else []
    left = draw(st.permutations([*said, *copies]))
    bodies = []
    while left:
        size = draw(st.integers(1, 4))
        bodies.append(body_of(left[:size]))
        left = left[size:]
    return bodies


def body_of(said: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One body: an entry for each time, since an entry has one."""
    entries: dict[int | None, list[dict[str, Any]]] = {}
    for change in said:
        bare = {"field": change["field"], "value": change["value"]}
        entries.setdefault(change.get("at"), []).append(bare)
    return {
        "object": "whatsapp_business_account",
        "entry": [
            {"id": "1", "changes": own} | ({} if at is None else {"time": _seconds(at)})
            for at, own in entries.items()
        ],
    }


def commit_answers(database: Database, *, at: datetime) -> None:
    """The answers to the POSTs that are still open: what `recording` would have stored at the time `at`."""
    with database.transaction() as session:
        stories = dispatch_repository.stories(session, range(1, MESSAGES + 1))
        dispatch_repository.save(
            session,
            [(story, settle(story, _taken(story), at=at, rules=RULES)) for story in stories.values()],
        )


def _taken(story: Story) -> Answered:
    return Answered(story._replace(tries=1), "", Accepted(f"wamid.{story.id - 1}", "accepted", None))


def outcome(
    folder: Path, bodies: Sequence[dict[str, Any]], *, projected_after: Sequence[int], answered_after: int
) -> dict[str, list[Any]]:
    """What is left when these bodies came to a copy of the world, with looks at the inbox between, and our own commit too."""
    path = folder / "run.db"
    for leftover in folder.glob("run.db*"):
        leftover.unlink()
    shutil.copyfile(folder / "world.db", path)
    database, clock = Database(f"sqlite:///{path}"), SteppedClock(START + timedelta(minutes=5))
    try:
        for count, body in enumerate([*bodies, None]):
            if count == answered_after or body is None:
                commit_answers(database, at=START + timedelta(seconds=1))
            if body is not None:
                with database.transaction() as session:
                    store(session, clock, body=json.dumps(body).encode())
            if body is None:
                # By then it is the turn again of what waited for a message.
                clock.advance(timedelta(seconds=2))
            if count in projected_after or body is None:
                project_tick(database, clock, settings=outbox.settings(), batch=1 + count % 3)
        return {name: _rows(database, name, columns) for name, columns in COMPARED.items()}
    finally:
        database.dispose()


def _rows(database: Database, table: str, columns: Sequence[str] | None) -> list[Any]:
    stored = SQLModel.metadata.tables[table]
    names = [column.name for column in stored.columns] if columns is None else columns
    with database.snapshot() as session:
        rows = session.connection().execute(select(*(stored.c[name] for name in names)))
        return sorted((dict(zip(names, row, strict=True)) for row in rows), key=str)
