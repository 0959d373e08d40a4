"""After a rehearsal's hurried days all its processes go on together, at the machine's own speed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sqlmodel import col, select

from api.demo.people import write_people
from api.demo.rehearsal import Rehearsal
from api.demo.show import BEHAVIOUR, DAYS, TEXTS, world_file
from delivery.models import Message
from delivery.simulator.config import Delays
from experiments.clock import parse_moment
from experiments.models import Experiment

SURE = {"delivered": 1.0, "read": 1.0, "clicked": 1.0, "opted_out": 0.0}
LONGEST = 120.0
"""Seconds; only a bound, on a machine that has much else to do."""
WHOLE_SECOND = timedelta(seconds=1)
"""WhatsApp tells whole seconds, and what it has accepted is noted a moment later."""


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Rehearsal]:
    """The demo's campaign over a few people who read whatever they get, at its end."""
    behaviour = BEHAVIOUR | {"templates": {name: one | SURE for name, one in BEHAVIOUR["templates"].items()}}
    with Rehearsal(
        database_url=f"sqlite:///{tmp_path}/touchstone.db",
        days=DAYS,
        seconds=4,
        delays=Delays().hurried(600),
    ) as rehearsal:
        crm = tmp_path / "people.csv"
        write_people(crm, 60, now=rehearsal.clock.now(), rng=np.random.default_rng(1))
        rehearsal.import_people(crm)
        rehearsal.load_world(people_path=world_file(crm), behaviour=behaviour, texts=TEXTS)
        rehearsal.start_campaign(design("spring-wakeup"), window=timedelta(days=9))
        rehearsal.run(lambda _now, _summary: None, every=0.2)
        yield rehearsal


def design(key: str) -> dict[str, Any]:
    found = yaml.safe_load((files("api.demo") / "campaign.yaml").read_text(encoding="utf-8"))
    return found | {"key": key}


def simulators_now(rehearsal: Rehearsal) -> datetime:
    return parse_moment(rehearsal.simulator_status()["now"])


@pytest.mark.slow
def test_a_message_sent_after_the_end_has_times_in_their_order_and_none_to_come(ended: Rehearsal) -> None:
    assert abs(simulators_now(ended) - ended.clock.now()) < timedelta(seconds=10)
    first = ended.http.get("/v1/templates/spring_coupon").json()["languages"]
    assert TEXTS["spring_coupon"] in str(first)
    began = ended.clock.now()
    for path, body in (("", design("own")), ("/own/start", None)):
        assert ended.http.post(f"/v1/experiments{path}", json=body).is_success
    messages = clicked(ended)
    now = ended.clock.now()
    assert now - began < timedelta(seconds=LONGEST), "it still hurries"
    for message in messages:
        times = [message.accepted_at, message.sent_at, message.delivered_at]
        times += [message.read_at, message.clicked_at, now]
        assert None not in times
        known = [moment.replace(tzinfo=UTC) for moment in times if moment is not None]
        assert began - WHOLE_SECOND <= known[0]
        assert all(one - WHOLE_SECOND <= two for one, two in pairwise(known)), known


def clicked(rehearsal: Rehearsal) -> list[Message]:
    """Messages of the second campaign that went all the way, as soon as there are some."""
    wanted = (
        select(Message)
        .join(Experiment, col(Experiment.id) == Message.experiment_id)
        .where(
            Experiment.key == "own", col(Message.clicked_at).is_not(None), col(Message.read_at).is_not(None)
        )
    )
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        with rehearsal.wiring.database.snapshot() as session:
            found = list(session.exec(wanted).all())
        if len(found) >= 3:
            return found
        time.sleep(0.2)
    raise AssertionError(rehearsal.http.get("/v1/delivery/summary").json())
