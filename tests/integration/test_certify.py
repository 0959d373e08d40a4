"""Certifying experiments on both databases, files, and the command line."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from analysis.certification import certify_facts
from analysis.certification.calibration import Verdict
from analysis.certification.certify import Certificate
from analysis.certification.certify_sources import certify_experiment, certify_file
from analysis.certification.rerandomise import Pool
from analysis.facts.engines import SessionFacts
from analysis.facts.facts import MetricGroup
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from experiments.metrics import MetricDefinition
from experiments.quantities import Cap
from tests.integration.analysis_rows import DAY, START, Assigned, Happened, outcomes, store
from tests.integration.command_line import CommandLine
from tests.integration.test_report import start, two_arms

RUNS = 1000
PEOPLE = 600
HOUSE = 6
REVENUE = {"key": "revenue", "role": "primary", "kind": "mean", "event": "Order", "value": "revenue", "window": "7d"}  # fmt: skip
BOUGHT = {"key": "bought", "role": "secondary", "kind": "proportion", "event": "Order", "window": "7d"}
DEFINITION = MetricDefinition(kind="mean", event="Order", value="revenue", window=7 * DAY, covariate=28 * DAY)


def world(*, per_house: bool = False, whale: float = 0.0) -> tuple[list[Assigned], list[Happened]]:
    """600 users of 100 houses; with `per_house`, all of a house buy alike. The last user may be a whale."""
    rng = np.random.default_rng(21)
    of_house = rng.gamma(2, 20, PEOPLE // HOUSE)
    assigned, happened = [], []
    for user in range(1, PEOPLE + 1):
        house = (user - 1) // HOUSE
        assigned.append(Assigned(user, ("silence", "coupon")[house % 2], START))
        typical = of_house[house] if per_house else rng.gamma(2, 20)
        for at in (START - 3 * DAY, START + DAY):
            if rng.random() < 0.8:
                spent = round(typical + rng.normal(0, 3), 2)
                happened += [Happened(user, "Order", at, {"revenue": spent})]
    if whale:
        happened.append(Happened(PEOPLE, "Order", START + 2 * DAY, {"revenue": whale}))
    return assigned, happened


def settle(database: Database, clock: SteppedClock, *, by_house: bool = False, **kind: Any) -> None:
    audience = {"condition": {}, "hash_attribute": "household"} if by_house else {"condition": {}}
    start(database, clock, two_arms(metrics=[{**REVENUE, "covariate": "28d"}, BOUGHT], audience=audience))
    assigned, happened = world(**kind)
    store(database, assigned=assigned, happened=happened)
    with database.transaction() as session:
        for house in range(PEOPLE // HOUSE):
            session.connection().execute(
                text("UPDATE users SET attributes = :a WHERE id BETWEEN :low AND :high"),
                {"a": json.dumps({"household": f"h{house}"}), "low": house * HOUSE + 1, "high": (house + 1) * HOUSE},
            )  # fmt: skip
    clock.advance(8 * DAY)


def certified(database: Database, clock: SteppedClock, **options: Any) -> Certificate:
    with database.snapshot() as session:
        return certify_experiment(session, clock, key="spring", runs=RUNS, **options)


def pooled(
    database: Database,
    *,
    clusters: Sequence[str] = (),
    bound: int = 10_000,
    definition: MetricDefinition = DEFINITION,
) -> certify_facts.Drawn:
    group = MetricGroup(window=timedelta(days=7), metrics=(("revenue", definition),))
    with database.snapshot() as session:
        return certify_facts.drawn_users(
            SessionFacts(session), experiment_id=1, group=group, number=0, variants=["silence", "coupon"],
            clusters=clusters, as_of=START + 8 * DAY, users=PEOPLE, bound=bound,
        )  # fmt: skip


def counted() -> tuple[np.ndarray, np.ndarray]:
    """Outcome and covariate of everybody, counted in Python, in the order of the users of each arm."""
    assigned, happened = world()
    arms = [
        outcomes(DEFINITION, assigned, happened, as_of=START + 8 * DAY, variant=variant)
        for variant in ("silence", "coupon")
    ]
    return np.concatenate([arm[0] for arm in arms]), np.concatenate([arm[1] for arm in arms])


def whole(pool: Pool, letters: str) -> float:
    return float((pool.sums[letters] * pool.times).sum())


def test_the_pool_holds_every_mature_user(database: Database, clock: SteppedClock) -> None:
    settle(database, clock)
    y, x = counted()
    drawn = pooled(database)
    assert drawn.pool is not None
    assert (drawn.pool.users, drawn.share) == (PEOPLE, 1.0)
    assert drawn.pool.shifts["y"] == pytest.approx(y.mean(), rel=1e-12)
    assert len(drawn.pool.times) < PEOPLE, "users without an order before and after are one row"
    assert whole(drawn.pool, "yy") == pytest.approx(((y - y.mean()) ** 2).sum(), rel=1e-9)
    assert whole(drawn.pool, "xy") == pytest.approx(((y - y.mean()) * (x - x.mean())).sum(), rel=1e-9)


def test_clusters_hold_the_sums_of_their_users(database: Database, clock: SteppedClock) -> None:
    settle(database, clock)
    y, _ = counted()
    pool = pooled(database, clusters=["household"]).pool
    assert pool is not None
    assert (pool.units, pool.users) == (PEOPLE // HOUSE, PEOPLE)
    assert set(pool.sums["n"].tolist()) == {float(HOUSE)}
    assert float((pool.totals * pool.times).sum()) == pytest.approx(y.sum(), rel=1e-9)
    assert whole(pool, "yy") == pytest.approx(((y - y.mean()) ** 2).sum(), rel=1e-9)


def test_more_users_than_may_travel_are_sampled(database: Database, clock: SteppedClock) -> None:
    settle(database, clock)
    drawn = pooled(database, bound=200)
    assert drawn.pool is not None
    assert drawn.share == pytest.approx(200 / PEOPLE)
    assert drawn.pool.users == pytest.approx(200, rel=0.15)
    houses = pooled(database, clusters=["household"], bound=300)
    assert houses.pool is not None
    assert houses.pool.units == pytest.approx(50, rel=0.3)
    assert set(houses.pool.sums["n"].tolist()) == {float(HOUSE)}


def test_the_sample_is_the_same_before_and_after_events_are_joined(
    database: Database, clock: SteppedClock
) -> None:
    """A cap at a quantile needs everybody, so there the sample is taken last; one that cuts nothing changes no number."""
    settle(database, clock)
    early = pooled(database, bound=200).pool
    uncut = DEFINITION.model_copy(update={"cap": Cap(quantile=0.999999)})
    late = pooled(database, bound=200, definition=uncut).pool
    assert early is not None
    assert late is not None
    assert early.users == late.users < PEOPLE
    for letters in ("yy", "xy", "xx"):
        assert whole(early, letters) == pytest.approx(whole(late, letters), rel=1e-9)


def test_sound_data_hold(database: Database, clock: SteppedClock) -> None:
    settle(database, clock)
    told: list[tuple[int, int]] = []
    found = certified(database, clock, advance=lambda done, of: told.append((done, of)))
    assert [(one.metric, one.verdict) for one in found.metrics] == [
        ("revenue", Verdict.HOLDS), ("bought", Verdict.HOLDS),
    ]  # fmt: skip
    for one in found.metrics:
        assert one.calibration is not None
        for alpha, share in one.calibration.below.items():
            assert abs(share.share - float(alpha)) < 4 * share.error
    assert found.weights == {"silence": 0.5, "coupon": 0.5}
    assert sum(done for done, _ in told) == told[0][1] == 2 * RUNS
    assert certified(database, clock).to_json() == found.to_json()


def test_a_whale_is_named(database: Database, clock: SteppedClock) -> None:
    settle(database, clock, whale=30_000.0)
    revenue, bought = certified(database, clock).metrics
    assert revenue.verdict == Verdict.TOO_WIDE
    assert "one user holds" in revenue.because
    assert bought.verdict == Verdict.HOLDS


def test_houses_that_were_drawn_together_and_buy_alike(database: Database, clock: SteppedClock) -> None:
    settle(database, clock, by_house=True, per_house=True)
    revenue, bought = certified(database, clock).metrics
    assert revenue.verdict == Verdict.TOO_NARROW
    assert "who share a household" in revenue.because
    assert bought.verdict == Verdict.HOLDS


def test_what_cannot_be_certified(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(NotFound):
        certified(database, clock)
    start(database, clock, two_arms())
    with pytest.raises(Conflict, match="nobody takes part"):
        certified(database, clock)
    store(database, assigned=[Assigned(1, "silence", START), Assigned(2, "coupon", START)])
    clock.advance(DAY)
    found = certified(database, clock)
    assert found.metrics[0].because == "cannot tell: no user's window has closed yet"
    with database.snapshot() as session, pytest.raises(Invalid):
        certify_experiment(session, clock, key="spring", runs=5)


@pytest.fixture
def orders(tmp_path: Path) -> Callable[..., Path]:
    """A file of two arms; `together` rows of one household are alike."""

    def write(*, together: float = 0.0) -> Path:
        rng = np.random.default_rng(5)
        path = tmp_path / "orders.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["arm", "house", "spend", "before", "items", "bought"])
            for house in range(300):
                shared = rng.gamma(2, 10)
                for _ in range(4):
                    spend = together * shared + (1 - together) * rng.gamma(2, 10)
                    before = spend + rng.normal(0, 4)
                    rows.writerow(
                        ["AB"[house % 2], house, round(spend, 3), round(before, 3), 1 + rng.poisson(2), int(rng.random() < 0.3)]
                    )  # fmt: skip
        return path

    return write


ASKED = ["spend=mean:spend", "per=ratio:spend/items", "bought=proportion:bought"]


def test_files_hold_with_every_kind_of_metric(orders: Callable[..., Path]) -> None:
    found = certify_file(
        orders(), variant="arm", metrics=[*ASKED, "middle=quantile:spend"], covariates=["spend=before"], runs=RUNS
    )  # fmt: skip
    assert [one.verdict for one in found.metrics] == [Verdict.HOLDS] * 4
    assert (found.control, found.ratio.assigned, found.metrics[0].users) == ("A", 1200, 1200)


def test_a_quantile_of_sums_cannot_be_told(orders: Callable[..., Path]) -> None:
    for option in ({"unit": "house"}, {"cluster": "house"}):
        found = certify_file(orders(), variant="arm", metrics=["middle=quantile:spend"], runs=200, **option)
        assert [one.verdict for one in found.metrics] == [Verdict.CANNOT_TELL]
        assert "only their sums are at hand" in found.metrics[0].because


def test_rows_of_one_house_in_a_file(orders: Callable[..., Path]) -> None:
    path = orders(together=0.8)
    apart = certify_file(path, variant="arm", metrics=ASKED[:1], runs=RUNS).metrics[0]
    together = certify_file(path, variant="arm", metrics=ASKED[:1], cluster="house", runs=RUNS).metrics[0]
    summed = certify_file(path, variant="arm", metrics=ASKED[:1], unit="house", runs=RUNS).metrics[0]
    assert [one.verdict for one in (apart, together, summed)] == [
        Verdict.HOLDS, Verdict.TOO_NARROW, Verdict.HOLDS,
    ]  # fmt: skip
    assert "sum the outcomes up per house first" in together.because
    assert summed.users == 300


def test_houses_that_are_in_both_arms_are_a_warning(orders: Callable[..., Path]) -> None:
    path = orders()
    text = path.read_text().splitlines()
    path.write_text("\n".join([text[0], text[1].replace("A,", "B,", 1), *text[2:]]) + "\n")
    said = certify_file(path, variant="arm", metrics=ASKED[:1], cluster="house", runs=200).warnings
    assert any(warning.startswith("1 of 300 values of house are in several variants") for warning in said)


def test_a_file_by_hand(touchstone: CommandLine, orders: Callable[..., Path]) -> None:
    path = str(orders())
    options = ["--variant", "arm", "--metric", ASKED[0], "--runs", "300"]
    shown = touchstone("certify", path, *options)
    assert shown.returncode == 0, shown.stderr
    assert "intervals hold" in shown.stdout
    document = json.loads(touchstone("certify", path, *options, "--json", "--seed", "7").stdout)
    assert (document["runs"], document["seed"], document["metrics"][0]["verdict"]) == (300, 7, "holds")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "m=mean:spend"], "--variant: say which column"),
        (["--variant", "arm"], "--metric: at least one"),
        ([], "--variant: orders.csv is a file"),
        (["--unit", "house"], "--unit: is for a FILE"),
        (["--variant", "arm", "--metric", "m=mean:spent"], "did you mean spend?"),
        (["--variant", "arm", "--metric", "m=mean:spend", "--cluster", "home"], "--cluster: the file has no column"),
        (["--variant", "arm", "--metric", "m=mean:spend", "--control", "Z"], "--control: no row"),
        (["--variant", "arm", "--metric", "m=mean:spend", "--weight", "A=2"], "--weight: gives no share to 'B'"),
        (["--variant", "arm", "--metric", "m=mean:spend", "--runs", "3"], "--runs: must lie between"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    touchstone: CommandLine, orders: Callable[..., Path], arguments: list[str], said: str
) -> None:
    orders()
    assert said in touchstone.fails("certify", "orders.csv", *arguments)


def test_an_experiment_by_hand(touchstone: CommandLine, tmp_path: Path) -> None:
    assert "touchstone migrate" in touchstone.fails("certify", "spring")
    touchstone("migrate")
    assert "there is no experiment 'spring'" in touchstone.fails("certify", "spring")
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    settle(database, SteppedClock(START))
    with database.transaction() as session:
        for change in ("assignments SET assigned_at = assigned_at", "events SET at = at"):
            session.connection().execute(text(f"UPDATE {change} - 30 * 86400000000"))
    database.dispose()
    run = touchstone("certify", "spring", "--runs", "200", "--json")
    assert run.returncode == 0, run.stderr
    assert [one["metric"] for one in json.loads(run.stdout)["metrics"]] == ["revenue", "bought"]
