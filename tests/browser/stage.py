"""A whole installation for a browser: API, worker, simulated WhatsApp and dashboard, on a hurried clock, on loopback."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import yaml

from api import security
from api.demo.people import write_people
from api.demo.rehearsal import Rehearsal, free_port
from api.demo.show import BEHAVIOUR, DAYS, TEXTS, start_dashboard, world_file
from experiments.vocabulary import Scope

CAMPAIGN: Final = "spring-wakeup"
SEGMENT: Final = "dutch"
LIST: Final = "friends"
RULE: Final = "thank-buyers"
DRAFT: Final = "summer-hello"
TEMPLATE: Final = {"template": "spring_reminder", "language": "en_US"}


@dataclass(frozen=True)
class Stage:
    """`keys`: one for ingest, read, write and admin."""

    rehearsal: Rehearsal
    dashboard: str
    folder: Path

    @property
    def keys(self) -> dict[str, str]:
        return self.rehearsal.keys

    def call(self, method: str, path: str, **request: Any) -> Any:
        """What the API answers to the admin. Raises when it refuses."""
        headers = {"Authorization": f"Bearer {self.keys['admin']}"}
        answer = httpx.request(method, self.rehearsal.url + path, headers=headers, timeout=120, **request)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None


@contextmanager
def installation(folder: Path, *, days: float = DAYS, seconds: float) -> Iterator[Stage]:
    """Empty, with nobody in it. `days` pass in `seconds`."""
    with ThreadPoolExecutor(1) as elsewhere, ExitStack() as stack:
        # A browser is driven from a loop of events in this thread, where no other may begin; the end of a rehearsal needs one.
        kept = ExitStack()
        stack.callback(lambda: elsewhere.submit(kept.close).result())
        url = f"sqlite:///{folder}/touchstone.db"
        # On a busy machine a hurried day is over before a worker has had its turn: no message is too late by that.
        settings = {"message_ttl": timedelta(days=10)}
        rehearsal = kept.enter_context(
            Rehearsal(database_url=url, days=days, seconds=seconds, settings=settings)
        )
        with rehearsal.wiring.database.transaction() as session:
            _row, rehearsal.keys["admin"] = security.create_key(
                session, rehearsal.clock, actor="rehearsal", name="Ada", scopes=[Scope.ADMIN]
            )
        port = free_port()
        start_dashboard(kept, rehearsal, port, folder)
        yield Stage(rehearsal, f"http://127.0.0.1:{port}", folder)


def people_of(stage: Stage, count: int, *, behaviour: Mapping[str, Any] = BEHAVIOUR) -> Path:
    """A CSV of made-up people, whom the simulated WhatsApp knows as well."""
    crm = stage.folder / "people.csv"
    write_people(crm, count, now=stage.rehearsal.clock.now(), rng=np.random.default_rng(7))
    stage.rehearsal.load_world(people_path=world_file(crm), behaviour=behaviour, texts=TEXTS)
    return crm


def fill(stage: Stage, *, people: int) -> None:
    """What an installation holds after two weeks: a campaign that ran, segments, a list, a rule, a draft, a paused one."""
    crm = people_of(stage, people)
    with crm.open("rb") as file:
        stage.call(
            "POST", "/v1/imports", params={"source": "crm"}, files={"file": ("crm.csv", file, "text/csv")}
        )
    with (stage.folder / "again.csv").open("w", encoding="utf-8") as file:
        file.write(crm.read_text(encoding="utf-8").replace("nl_NL", ""))
        file.write("u-wrong,12,Kim,NL,Europe/Nowhere,nl_NL,forty,yesterday,perhaps\n")
    with (stage.folder / "again.csv").open("rb") as file:
        stage.call(
            "POST", "/v1/imports", params={"source": "crm"}, files={"file": ("crm.csv", file, "text/csv")}
        )
    _fill_audience(stage)
    design = yaml.safe_load((files("api.demo") / "campaign.yaml").read_text(encoding="utf-8"))
    assert design["key"] == CAMPAIGN
    stage.rehearsal.start_campaign(design, window=timedelta(days=9))
    for other in _others():
        stage.call("POST", "/v1/experiments", json=other)
    stage.call("POST", "/v1/experiments/welcome/start")
    stage.rehearsal.run(lambda *_: None, every=0.2)
    stage.call("GET", f"/v1/experiments/{CAMPAIGN}/report", params={"max_age": 0})
    stage.call("GET", "/v1/experiments/welcome/report", params={"max_age": 0})


def _fill_audience(stage: Stage) -> None:
    stage.call(
        "PUT",
        f"/v1/segments/{SEGMENT}",
        json={"name": "Live in the Netherlands", "condition": {"country": "NL"}},
    )
    stage.call(
        "PUT",
        "/v1/segments/quiet",
        json={"name": "Quiet for two months", "condition": {"last_order_at": {"$olderThan": "60d"}}},
    )
    rule = {
        "name": "Thank whoever buys much",
        "trigger": {"type": "event", "event": "Order Completed", "properties": {"revenue": {"$gte": 50}}},
        "condition": {"country": {"$in": ["NL", "BR"]}},
        "actions": [{"type": "add_tag", "tag": "big-spender"}],
        "cool_down": "90d",
    }
    stage.call("PUT", f"/v1/rules/{RULE}", json=rule)
    stage.call("POST", f"/v1/rules/{RULE}/enable")


def _others() -> list[dict[str, Any]]:
    bought = {
        "key": "bought",
        "role": "primary",
        "kind": "proportion",
        "event": "Order Completed",
        "window": "3d",
    }
    message = {**TEMPLATE, "parameters": ["{{ user.first_name }}"], "link": "https://shop.example/hello"}
    welcome = {
        "key": "welcome",
        "name": "Say hello to the French",
        "audience": {"condition": {"country": "FR"}},
        "trigger": {"type": "once"},
        "variants": [
            {"key": "silence", "control": True, "weight": 1},
            {"key": "hello", "weight": 1, "message": message, "send_time": {"local_time": "09:00"}},
            {"key": "evening", "weight": 1, "message": message, "send_time": {"local_time": "19:30"}},
        ],
        "metrics": [bought],
        "plan": {"method": "always_valid"},
        "allocation": {"policy": "thompson", "interval": "1d", "floor": 0.1},
    }
    draft = {**welcome, "key": DRAFT, "name": "Hello, summer", "allocation": {"policy": "fixed"}}
    return [welcome, draft]
