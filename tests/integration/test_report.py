"""Reports of stored experiments: what they say, when they count as a look, and where their facts may come from."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from sqlalchemy import Select, event
from sqlmodel import select

from analysis.facts import engines, facts
from analysis.facts.engines import Row, SessionFacts
from analysis.reports import service
from analysis.reports.models import StoredReport
from experiments import service as experiments
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound, Unavailable
from experiments.lifecycle import Move
from experiments.settings import Settings
from tests.integration.analysis_rows import (
    DAY,
    HOUR,
    START,
    Assigned,
    Happened,
    design,
    enrolment,
    outcomes,
    store,
)
from tests.integration.looks import look_often

WEEK = timedelta(days=7)


def two_arms(**changes: Any) -> dict[str, Any]:
    """One comparison of one primary metric, so that nothing is adjusted for the others."""
    document = {
        "variants": [
            {"key": "silence", "control": True},
            {"key": "coupon", "message": {"template": "spring", "language": "en_US"}},
        ],
        "metrics": [
            {"key": "revenue", "role": "primary", "kind": "mean", "event": "Order", "value": "revenue", "window": "7d"}
        ],
    }  # fmt: skip
    return design(**{**document, **changes})


def start(database: Database, clock: SteppedClock, document: dict[str, Any]) -> str:
    with database.transaction() as session:
        key = experiments.create(session, clock, actor="test", document=document).key
        experiments.move(session, clock, actor="test", key=key, move=Move.START)
    return key


def stop(database: Database, clock: SteppedClock, key: str) -> None:
    with database.transaction() as session:
        experiments.move(session, clock, actor="test", key=key, move=Move.STOP)


def look(database: Database, clock: SteppedClock, key: str = "spring") -> StoredReport:
    with database.transaction() as session:
        return service.refresh_report(session, clock, key=key)


def stored(database: Database) -> Sequence[StoredReport]:
    with database.snapshot() as session:
        return session.exec(select(StoredReport).order_by(StoredReport.id)).all()


def two_waves(lift: float = 3.0) -> tuple[list[Assigned], list[Happened]]:
    """400 users at the start and 400 two days later; about two thirds buy."""
    rng = np.random.default_rng(11)
    variants = ("silence", "coupon")
    assigned = [
        Assigned(user, variants[user % 2], START if user <= 400 else START + 2 * DAY)
        for user in range(1, 801)
    ]
    happened = [
        Happened(
            person.user,
            "Order",
            person.at + float(rng.uniform(0, 9)) * DAY,
            {"revenue": round(float(rng.gamma(2, 10 + lift * (person.variant == "coupon"))), 2)},
        )
        for person in assigned
        for _ in range(rng.integers(3))
    ]
    return assigned, happened


def effect(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["metrics"][0]["effects"][0]
    return found


def half_width(body: dict[str, Any]) -> float:
    return float(effect(body)["absolute"]["upper"] - effect(body)["absolute"]["lower"]) / 2


def test_a_report_says_what_scipy_says_about_the_same_rows(database: Database, clock: SteppedClock) -> None:
    key = start(database, clock, two_arms(plan={"method": "fixed"}))
    assigned, happened = two_waves()
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=800, finished_at=START + 2 * DAY)
    clock.advance(7 * DAY + HOUR)
    report = look(database, clock, key)
    metric = experiments.design_of(_experiment(database)).metric_definitions()["revenue"]
    control, _ = outcomes(metric, assigned, happened, as_of=clock.now(), variant="silence")
    treated, _ = outcomes(metric, assigned, happened, as_of=clock.now(), variant="coupon")
    expected = stats.ttest_ind(treated, control, equal_var=False)
    interval = expected.confidence_interval(0.95)
    body = report.body
    assert (body["experiment"], body["as_of"], body["method"]) == ("spring", "2026-12-08T11:00:00Z", "fixed")
    assert [(arm["variant"], arm["assigned"], arm["mature"]) for arm in body["arms"]] == [
        ("silence", 400, 200),
        ("coupon", 400, 200),
    ]
    assert effect(body)["absolute"]["estimate"] == pytest.approx(treated.mean() - control.mean(), rel=1e-9)
    assert effect(body)["absolute"]["lower"] == pytest.approx(interval.low, rel=1e-9)
    assert effect(body)["absolute"]["upper"] == pytest.approx(interval.high, rel=1e-9)
    assert effect(body)["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert report.information == 0.5
    assert any("400 users are left out" in warning for warning in body["warnings"])


def test_the_same_data_and_moment_give_the_same_report(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    assigned, happened = two_waves()
    store(database, assigned=assigned, happened=happened)
    clock.advance(12 * DAY)
    with database.snapshot() as session:
        first = service.prepare(session, clock, key="spring")
    with database.snapshot() as session:
        assert service.prepare(session, clock, key="spring") == first


def test_a_report_of_nobody_says_that_it_cannot_tell(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    report = look(database, clock)
    assert report.information == 0
    assert [arm["assigned"] for arm in report.body["arms"]] == [0, 0, 0]
    assert report.body["warnings"]
    for metric in report.body["metrics"]:
        assert all(one["p_value"] is None and one["significant"] is not True for one in metric["effects"])
    assert report.body["decision"]["action"] == "continue"


def test_an_experiment_that_was_never_started_has_no_report(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        experiments.create(session, clock, actor="test", document=design())
    with database.snapshot() as session:
        with pytest.raises(Conflict, match="never started"):
            service.refresh_report(session, clock, key="spring")
    with pytest.raises(Conflict, match="never started"):
        service.current_report(database, clock, key="spring", max_age=HOUR)
    with pytest.raises(NotFound):
        service.current_report(database, clock, key="autumn", max_age=HOUR)
    assert service.refresh_tick(database, clock) == 0


def test_a_young_report_is_shown_again_and_an_old_one_made_anew(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock, design())

    def current() -> StoredReport:
        return service.current_report(database, clock, key="spring", max_age=2 * HOUR)

    first = current()
    clock.advance(2 * HOUR)
    assert current().id == first.id
    clock.advance(timedelta(microseconds=1))
    second = current()
    assert (second.id != first.id, second.as_of) == (True, clock.now())
    assert len(stored(database)) == 2


def test_of_many_looks_only_the_newest_is_read(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    kept = look_often(database, clock, "spring", looks=5, every=2 * HOUR)
    read: list[int | None] = []

    def note(report: StoredReport, _context: object) -> None:
        read.append(report.id)

    event.listen(StoredReport, "load", note)
    try:
        found = service.current_report(database, clock, key="spring", max_age=HOUR)
    finally:
        event.remove(StoredReport, "load", note)
    assert read == [found.id] == [kept[-1].id]


def test_a_look_without_any_news_is_not_stored_within_the_hour(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock, design())
    look(database, clock)
    clock.advance(HOUR / 2)
    assert look(database, clock).as_of == clock.now()
    assert len(stored(database)) == 1
    store(database, assigned=[Assigned(1, "coupon", START)])
    assert look(database, clock).body["arms"][2]["assigned"] == 1
    assert len(stored(database)) == 2


def test_earlier_looks_cost_alpha_and_a_look_without_new_information_does_not(
    database: Database, clock: SteppedClock
) -> None:
    key = start(database, clock, two_arms())
    assigned, happened = two_waves()
    store(database, assigned=assigned, happened=happened)
    enrolment(database, last_user=800, finished_at=START + 2 * DAY)

    clock.advance(6 * DAY)
    assert look(database, clock, key).information == 0
    clock.advance(DAY)
    half = look(database, clock, key)
    assert half.information == 0.5
    clock.advance(DAY)
    again = look(database, clock, key)
    assert again.information == 0.5
    assert half_width(again.body) == half_width(half.body)
    assert effect(again.body)["significant"] == effect(half.body)["significant"]
    clock.advance(DAY)
    whole = look(database, clock, key)
    clock.advance(DAY)
    late = look(database, clock, key)
    assert (whole.information, late.information) == (1, 1)
    assert effect(late.body) == effect(whole.body)

    metric = experiments.design_of(_experiment(database)).metric_definitions()["revenue"]
    y_half, y_whole = (
        [
            outcomes(metric, assigned, happened, as_of=report.as_of, variant=variant)[0]
            for variant in ("silence", "coupon")
        ]
        for report in (half, whole)
    )
    # alpha(t) = 2 - 2 Phi(1.96 / sqrt(t)): the first bound is 1.96 / sqrt(0.5), the second spends the rest of 0.05. How much alike
    # the looks are is told by their variances: users times the variance of a user's outcome within the arms.
    first = stats.norm.isf(0.025) / np.sqrt(0.5)
    alike = np.sqrt(_variance_of_sums(y_half) / _variance_of_sums(y_whole))
    together = stats.multivariate_normal(cov=[[1, alike], [alike, 1]])
    second = brentq(lambda b: 0.95 - together.cdf([first, b], lower_limit=[-first, -b]), 1.9, 2.1)
    for report, bound, y in ((half, first, y_half), (whole, second, y_whole)):
        parts = [arm.var(ddof=1) / len(arm) for arm in y]
        freedom = sum(parts) ** 2 / sum(part**2 / (len(arm) - 1) for part, arm in zip(parts, y, strict=True))
        bound_of_t = stats.t.isf(stats.norm.sf(bound), freedom)
        assert half_width(report.body) == pytest.approx(bound_of_t * np.sqrt(sum(parts)), rel=1e-4)


def _variance_of_sums(arms: Sequence[np.ndarray]) -> float:
    return float(sum(len(arm) * arm.var(ddof=1) for arm in arms))


def test_while_enrolment_runs_the_users_to_come_count_as_information_to_come(
    database: Database, clock: SteppedClock
) -> None:
    key = start(database, clock, two_arms())
    assigned, happened = two_waves()
    store(database, assigned=assigned, happened=happened, users=1600)
    enrolment(database, last_user=800, finished_at=None)
    clock.advance(7 * DAY)
    assert look(database, clock, key).information == 0.25
    clock.advance(4 * DAY)
    assert look(database, clock, key).information == 0.5
    stop(database, clock, key)  # nobody else will come
    clock.advance(HOUR)
    assert look(database, clock, key).information == 1


def test_two_who_look_at_once_make_one_look(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    with database.snapshot() as session:
        ours = service.prepare(session, clock, key="spring")
    store(database, assigned=[Assigned(1, "coupon", START)])
    theirs = look(database, clock)
    with database.transaction() as session:
        assert service.keep(session, ours).id == theirs.id
    assert len(stored(database)) == 1


def test_the_scheduler_looks_hourly_until_the_last_window_has_closed(
    database: Database, clock: SteppedClock
) -> None:
    start(database, clock, design())
    start(database, clock, two_arms(key="autumn"))
    assert service.refresh_tick(database, clock) == 2
    assert service.refresh_tick(database, clock) == 0
    clock.advance(HOUR)
    assert service.refresh_tick(database, clock) == 2
    stop(database, clock, "autumn")
    clock.advance(7 * DAY)
    assert service.refresh_tick(database, clock) == 2
    clock.advance(HOUR)
    assert service.refresh_tick(database, clock) == 1
    assert [report.information for report in stored(database)] == [0] * len(stored(database))


class FailsOnce:
    """A source of facts that is away for its first query."""

    def __init__(self, database: Database) -> None:
        self._source = engines.ReplicaFacts(database)
        self._failed = False

    def fetch(self, query: Select[Any]) -> Sequence[Row]:
        if not self._failed:
            self._failed = True
            raise Unavailable("away")
        return self._source.fetch(query)


def test_one_report_that_fails_does_not_keep_the_others_away(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    start(database, clock, two_arms(key="autumn"))
    with pytest.raises(Unavailable, match="away"):
        service.refresh_tick(database, clock, facts=FailsOnce(database))
    assert [report.body["experiment"] for report in stored(database)] == ["autumn"]


def test_facts_can_come_from_a_replica(database: Database, clock: SteppedClock) -> None:
    start(database, clock, design())
    store(database, assigned=[Assigned(user, "coupon", START) for user in range(1, 6)])
    url = database.url.render_as_string(hide_password=False)
    replica = engines.open_replica(Settings(facts_url=url.replace("postgresql+psycopg:", "postgresql:")))
    assert replica is not None
    with database.snapshot() as session:
        look = service.prepare(session, clock, key="spring", facts=replica)
        assert look == service.prepare(session, clock, key="spring")
        query = facts.arms_query(1, as_of=clock.now())
        assert replica.fetch(query) == SessionFacts(session).fetch(query)
    replica.dispose()
    assert look.body["arms"][2]["assigned"] == 5


def test_a_replica_that_does_not_answer_is_unavailable() -> None:
    replica = engines.open_replica(Settings(facts_url="postgresql://127.0.0.1:1/nothing"))
    assert replica is not None
    with pytest.raises(Unavailable, match="TOUCHSTONE_FACTS_URL"):
        replica.fetch(facts.arms_query(1, as_of=START))
    replica.dispose()


@pytest.mark.parametrize("url", ["snowflake://account/facts", "clickhouse://127.0.0.1/facts", "no url"])
def test_an_engine_that_we_cannot_query_is_refused_by_name(url: str) -> None:
    with pytest.raises(Invalid, match=r"TOUCHSTONE_FACTS_URL.*postgresql"):
        engines.open_replica(Settings(facts_url=url))


def test_without_a_setting_there_is_no_replica() -> None:
    assert engines.open_replica(Settings(facts_url=None)) is None


def _experiment(database: Database) -> Any:
    from experiments.repository import get_experiment

    with database.snapshot() as session:
        return get_experiment(session, "spring")
