"""The dashboard over a large installation: how soon each page is there, and which of its requests takes how long."""

import logging
import multiprocessing
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock

import httpx
from streamlit.testing.v1 import AppTest

from analysis.facts.engines import SessionFacts
from analysis.facts.facts import gather
from analysis.facts.slice_facts import By, gather_by
from api import security
from benchmarks import installation
from benchmarks.figures import Figure, Say, benchmark, median_seconds, seconds
from benchmarks.installation_rows import STORY_USER
from benchmarks.loopback import api_server
from benchmarks.scaling_speed import processor_seconds
from benchmarks.stage import CLOCK, empty_database, stamp
from dashboard.access import Access
from dashboard.client import ApiError, Client
from dashboard.views.result import SECTIONS
from experiments.database import Database
from experiments.repository import get_experiment
from experiments.service import design_of
from experiments.vocabulary import Scope

APP: Final = Path(__file__).parents[1] / "dashboard" / "app.py"
BAR: Final = 2.0
"""Seconds a page may take."""
WHOLE: Final = 1_000_000
"""Users of the bar."""
SMALL: Final = 1_000
WARM: Final = 3
LONGEST: Final = 120.0
"""Seconds; a page that takes longer ends the benchmark."""
NOISY: Final = "streamlit.runtime.scriptrunner_utils.script_run_context"
SHOWN: Final = 3
"""Requests of a page that are told."""


@dataclass(frozen=True, slots=True)
class View:
    """A page as somebody opens it: its file in `views/`, and what stands in its address."""

    name: str
    page: str
    address: dict[str, str] = field(default_factory=dict)


def _result(experiment: str, show: str, **address: str) -> View:
    named = "".join(f" by {value}" for value in address.values())
    return View(f"{experiment}: {show}{named}", "result", {"experiment": experiment, "show": show, **address})


STORY: Final = f"u{STORY_USER:07d}"
VIEWS: Final = (
    View("home", "home"),
    View("experiments", "experiments"),
    View("experiments, running", "experiments", {"status": "running"}),
    *(_result("broadcast-1", show) for show in SECTIONS),
    _result("wide-1", "result"),
    _result("bandit-1", "traffic"),
    _result("past-bandit-1", "traffic"),
    _result("past-1", "segments", by="country"),
    _result("broadcast-1", "segments", by="country"),
    View("new campaign", "new_campaign"),
    View("new campaign, a copy", "new_campaign", {"copy": "broadcast-1"}),
    View("planner", "planner"),
    View("simulation", "simulation"),
    View("users", "users"),
    View("users, by id", "users", {"q": "u00001"}),
    View("a user: story", "users", {"user": STORY}),
    View("a user: experiments", "users", {"user": STORY, "show": "experiments"}),
    View("segments", "segments"),
    View("a segment", "segments", {"segment": "segment-1"}),
    View("a list", "segments", {"segment": installation.LIST}),
    View("a segment's form", "segments", {"segment": "segment-1", "edit": "1"}),
    View("rules", "rules"),
    View("a rule", "rules", {"rule": "rule-1"}),
    View("import", "import_quality"),
    View("import, of a run", "import_quality", {"import": "1"}),
    View("data quality", "data_quality"),
    View("delivery", "delivery"),
    View("access", "access"),
)

QUICK: Final = frozenset(
    {
        *("home", "experiments", "broadcast-1: messages", "wide-1: result"),
        *("a user: story", "a segment", "rules", "delivery"),
    }
)
"""Pages of the short run: those that ask for most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How long a page took: the first time after the API was started, and the median of those after it. Of the first time: `processor`, the
    processor time of API and dashboard, which a busy machine does not stretch, and the `requests`, the slowest first.
    """

    view: View
    cold: float
    processor: float
    warm: float
    requests: tuple[tuple[str, float], ...]


@benchmark("dashboard")
def pages(
    say: Say,
    *,
    users: int = 100_000,
    small: int = SMALL,
    experiments: int = 100,
    names: Collection[str] = QUICK,
) -> Sequence[Figure]:
    """The pages that ask for most, over an installation with a hundred experiments; against the same where there are a thousand users."""
    quick = [view for view in VIEWS if view.name in names]
    return _pages(say, users=users, small=small, experiments=experiments, views=quick)


@benchmark("dashboard_whole", on_request=True)
def pages_of_a_million(say: Say) -> Sequence[Figure]:
    """Every page at the size that the bar names: a million users, two million messages, half of them today."""
    return _pages(say, users=WHOLE, small=SMALL, experiments=100, views=VIEWS)


def _pages(say: Say, *, users: int, small: int, experiments: int, views: Sequence[View]) -> Sequence[Figure]:
    # First, so that what this process loads for its first chart is no part of the time of a page over many.
    little = {seen.view.name: seen for seen in _measured(say, small, experiments, views)[0]}
    large, closed = _measured(say, users, experiments, views)
    say(
        "seconds: first view, its processor time, seen again, the same over few users; the slowest requests of the first view"
    )
    for seen in sorted(large, key=lambda each: -each.cold):
        told = "; ".join(f"{name} {taken:.2f}" for name, taken in seen.requests[:SHOWN])
        times = (seen.cold, seen.processor, seen.warm, little[seen.view.name].warm)
        say(f"{' '.join(f'{each:6.2f}' for each in times)}  {seen.view.name:<36} {told}")
    first, warm = max(large, key=lambda each: each.cold), max(large, key=lambda each: each.warm)
    over = [seen.view.name for seen in large if max(seen.cold, seen.warm) >= BAR]
    request, taken = max((each for seen in large for each in seen.requests), key=lambda each: each[1])
    of = f"of {len(large)} pages, {experiments} experiments, {users:,} users"
    return [
        Figure(
            what=f"slowest page {of}, at the first view: {first.view.name}",
            figure=first.cold,
            unit="s",
            bar=f"under {BAR:g} s a page on a million users",
            met=not over,
            note=("over it: " + ", ".join(over) if over else "every page is under it")
            + f"; {first.processor:.2f} s of processor time; the slowest of all requests: {request}, {taken:.2f} s",
        ),
        Figure(
            what=f"slowest page {of}, seen again: {warm.view.name}",
            figure=warm.warm,
            unit="s",
            yardstick=little[warm.view.name].warm,
            against=f"the same page over {small:,} users",
            ratio=little[warm.view.name].warm / warm.warm,
            note="median of three",
        ),
        Figure(
            what=f"all {len(large)} pages together, seen again",
            figure=sum(seen.warm for seen in large),
            unit="s",
            yardstick=sum(seen.warm for seen in little.values()),
            against=f"over {small:,} users",
            ratio=sum(seen.warm for seen in little.values()) / sum(seen.warm for seen in large),
        ),
        closed,
    ]


def _measured(say: Say, users: int, experiments: int, views: Sequence[View]) -> tuple[list[Seen], Figure]:
    """The pages, and what slices cost that no page of this installation shows: of its largest experiment, which is too young."""
    with empty_database() as (database, folder):
        taken = seconds(lambda: installation.fill(database, folder, users=users, experiments=experiments))
        stamp(database)
        say(f"{users:,} users: filled in {taken:.0f} s")
        return measure(database, views), _slices_once_closed(database)


def _slices_once_closed(database: Database) -> Figure:
    """Slices of the largest experiment as of a day on which the windows of all its users have closed."""
    as_of = CLOCK.now() + timedelta(days=8)
    with database.snapshot() as session:
        experiment = get_experiment(session, "broadcast-1")
        asked: dict[str, Any] = {
            "experiment_id": experiment.id,
            "definitions": design_of(experiment).metric_definitions(),
            "as_of": as_of,
        }
        engine = SessionFacts(session)
        begun = time.process_time()
        facts = gather(engine, **asked)
        halfway = time.process_time()
        gather_by(engine, by=By(attribute="country"), **asked)
        whole, sliced = halfway - begun, time.process_time() - halfway
    return Figure(
        what=f"facts of {sum(arm.n for arm in facts.metrics['bought'].values()):,} users whose windows have closed, by slice of an attribute",
        figure=sliced,
        unit="s",
        yardstick=whole,
        against="the facts of the report itself",
        ratio=whole / sliced,
        note="processor time, at first sight: they are kept for an hour, or until there is a newer report",
    )


def measure(database: Database, views: Sequence[View]) -> list[Seen]:
    """Open each page, over the API in a process of its own that was started for it."""
    # It warns of each look at a session from outside of a page.
    logging.getLogger(NOISY).disabled = True
    with database.transaction() as session:
        _row, key = security.create_key(session, CLOCK, actor="benchmark", name="Ada", scopes=[Scope.ADMIN])
    url = database.url.render_as_string(hide_password=False)
    with api_server(database_url=url, whatsapp_phone_number_id="1") as address:
        return [_seen(view, address, key) for view in views]


def _seen(view: View, address: str, key: str) -> Seen:
    """A page in a browser tab of its own, and again. Raises AssertionError when it breaks, or when one of its requests is refused."""
    with mock.patch.object(sys, "argv", ["app.py", "--api-url", address]), _requests() as requests:
        app = AppTest.from_file(str(APP), default_timeout=LONGEST).run()
        # Signing in by the form would show the first page, and so warm what is to be seen cold.
        client = Client(address, key)
        app.session_state["access"] = Access(client, client.who())
        for name, value in view.address.items():
            app.query_params[name] = value
        app.switch_page(f"views/{view.page}.py")
        requests.clear()
        before = _processor()
        cold = seconds(app.run)
        processor = _processor() - before
        first = sorted(requests, key=lambda each: -each[1])
        warm = median_seconds(app.run, WARM)
    client.close()
    if app.exception:
        raise AssertionError(f"{view.name}: {[item.value for item in app.exception]}")
    return Seen(view=view, cold=cold, processor=processor, warm=warm, requests=tuple(first))


def _processor() -> float:
    """Seconds of processor time that this process and the servers that it runs have used."""
    servers = (child.pid for child in multiprocessing.active_children())
    return time.process_time() + sum(processor_seconds(pid) for pid in servers if pid is not None)


@contextmanager
def _requests() -> Iterator[list[tuple[str, float]]]:
    """Every request of the dashboard while the block runs, and how long its answer took."""
    made: list[tuple[str, float]] = []
    refused: list[str] = []
    send = Client.send

    def timed(client: Client, method: str, path: str, **asked: Any) -> httpx.Response:
        begun = time.perf_counter()
        try:
            return send(client, method, path, **asked)
        except ApiError as error:
            refused.append(f"{method} {path}: {error}")
            raise
        finally:
            made.append((f"{method} {path}", time.perf_counter() - begun))

    with mock.patch.object(Client, "send", timed):
        yield made
    if refused:
        raise AssertionError("; ".join(refused))
