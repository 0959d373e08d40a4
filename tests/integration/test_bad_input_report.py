"""The report of an experiment over HTTP on bad data: every way they are bad x every method x every kind, on both databases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from analysis.reports.report_csv import render_csv
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.vocabulary import Method
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, Happened, design, enrolment, store
from tests.integration.honest import judged
from tests.integration.test_report import start
from tests.unit.analysis.pages import Page

ORDER = {"event": "Order", "value": "revenue"}
WEEK = {"window": "7d"}
METRICS: list[dict[str, Any]] = [
    {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", **WEEK},
    {"key": "spend", "role": "primary", "kind": "mean", **ORDER, **WEEK, "covariate": "28d"},
    {"key": "total", "role": "secondary", "kind": "sum", **ORDER, **WEEK, "cap": {"quantile": 0.95}},
    {"key": "orders", "role": "secondary", "kind": "count", "event": "Order", **WEEK},
    {
        "key": "each",
        "role": "secondary",
        "kind": "ratio",
        "numerator": ORDER,
        "denominator": {"event": "Order"},
        **WEEK,
    },
    {"key": "median", "role": "secondary", "kind": "quantile", "level": 0.5, **ORDER, **WEEK},
    {"key": "back", "role": "secondary", "kind": "retention", "event": "Order", "after": "3d", **WEEK},
    {"key": "opted_out", "role": "guardrail", "margin": 0.01, **WEEK},
]
OF_SPEND = ("spend", "total", "each", "median")
ALL = tuple(metric["key"] for metric in METRICS)
ARMS = ("silence", "reminder", "coupon")
USERS = 180


@dataclass(frozen=True)
class World:
    assigned: list[Assigned]
    happened: list[Happened]


def world(arms: Sequence[str] = ARMS, users: int = USERS) -> World:
    """Everybody orders once or twice within the week, and some did before."""
    rng = np.random.default_rng(3)
    assigned = [Assigned(user, arms[user % len(arms)], START) for user in range(1, users + 1)]
    happened = []
    for one in assigned:
        happened += [
            order(one.user, float(after) * DAY, float(rng.gamma(2, 10)))
            for after in rng.uniform(0.1, 6.9, rng.integers(3))
        ]
        if rng.random() < 0.5:
            happened.append(order(one.user, -3 * DAY, float(rng.gamma(2, 10))))
        if rng.random() < 0.03:
            happened.append(Happened(one.user, "opted_out", START + DAY))
    return World(assigned, happened)


def order(user: int, after: timedelta, revenue: Any) -> Happened:
    return Happened(user, "Order", START + after, {"revenue": revenue})


def with_value(value: Any) -> World:
    """One order among the others is worth `value`."""
    made = world()
    return World(made.assigned, [*made.happened, order(4, DAY, value)])


def everybody(*properties: Any) -> World:
    return World(
        world().assigned, [order(user, DAY, value) for user in range(1, USERS + 1) for value in properties]
    )


def everybody_negative() -> World:
    made = world()
    turned = [
        Happened(one.user, one.name, one.at, {name: -value for name, value in one.properties.items()})
        for one in made.happened
    ]
    return World(made.assigned, turned)


def only(*variants: str) -> World:
    made = world()
    return World([one for one in made.assigned if one.variant in variants], made.happened)


@dataclass(frozen=True)
class Bad:
    """world: what happened. untold: metric -> a word of the reason, for every variant. says: must be among the warnings."""

    world: Callable[[], World]
    untold: dict[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    variants: tuple[str, ...] = ARMS


SAME = {
    "spend": "no outcome varies",
    "total": "no outcome varies",
    "orders": "no outcome varies",
    "median": "tied",
}
NONE_COULD = "1 value of `revenue` could not be used (no number, or an absurd one) and counted as 0"
BAD: dict[str, Bad] = {
    "nothing is wrong": Bad(world),
    "nobody is assigned": Bad(
        lambda: World([], []), dict.fromkeys(ALL, ""), ("silence has no users", "coupon has no users")
    ),
    "an arm without users": Bad(
        lambda: only("silence", "reminder"), {}, ("coupon has no users", "spend, coupon against silence: ")
    ),
    "a control without users": Bad(
        lambda: only("reminder", "coupon"), dict.fromkeys(ALL, ""), ("silence has no users",)
    ),
    "one user an arm": Bad(lambda: world(users=3), dict.fromkeys(("spend", "total", "orders", "median"), "")),
    "no event ever": Bad(
        lambda: World(world().assigned, []),
        {**SAME, "each": "the denominator is 0", "bought": "every outcome is the same", "back": "every outcome"},
        ("no event 'Order' was ever recorded, so nobody has any; check its name",),
    ),
    "every outcome the same": Bad(
        lambda: everybody(7), {**SAME, "each": "no outcome varies", "bought": "every outcome is the same"}
    ),
    "one user with nearly all": Bad(lambda: with_value(90_000), {}, ("one user holds ",)),
    "text as a number": Bad(lambda: with_value("a lot"), {}, (NONE_COULD,)),
    "NaN as text": Bad(lambda: with_value("NaN"), {}, (NONE_COULD,)),
    "infinity as text": Bad(lambda: with_value("-Infinity"), {}, (NONE_COULD,)),
    "an empty text": Bad(lambda: with_value(""), {}, (NONE_COULD,)),
    # As good as absent: an order that nobody put a price on.
    "null": Bad(lambda: with_value(None)),
    "a truth value": Bad(lambda: with_value(True), {}, (NONE_COULD,)),
    "a list": Bad(lambda: with_value([1]), {}, (NONE_COULD,)),
    "a huge number": Bad(lambda: with_value(1e308), {}, (NONE_COULD,)),
    "negative revenue": Bad(
        everybody_negative, {}, ("spend, coupon against silence: the control mean is negative",)
    ),
    "control mean 0": Bad(
        lambda: World(world().assigned, [one for one in world().happened if one.user % 3 or one.at < START]),
        {"each": "the denominator is 0"},
        ("spend, coupon against silence: the control mean is 0", "bought, coupon against silence: the control mean is 0"),
    ),
    "a variant unknown to the design": Bad(
        lambda: World([*world().assigned, Assigned(999, "ghost", START)], world().happened),
        {}, ("1 users are in 'ghost', whose weight is 0",), (*ARMS, "ghost"),
    ),
    "events still to come": Bad(
        lambda: World(world().assigned, [*world().happened, order(4, 90 * DAY, 5)]),
        {}, ("1 events 'Order' have a time that is still to come and count nowhere yet",),
    ),
    "users assigned in the future": Bad(
        lambda: World([*world().assigned, Assigned(999, "coupon", START + 90 * DAY)], world().happened),
        {}, ("1 users were assigned at a time that is still to come and count nowhere yet",),
    ),
    "events before the assignment only": Bad(
        lambda: World(world().assigned, [order(user, -DAY, 5 + user % 7) for user in range(1, USERS + 1)]),
        {**SAME, "each": "the denominator is 0", "bought": "every outcome is the same"},
    ),
    "windows still open": Bad(
        lambda: World([Assigned(one.user, one.variant, START + 8 * DAY) for one in world().assigned], []),
        dict.fromkeys(ALL, ""), (f"{USERS} users are left out because their window is still open",),
    ),
}  # fmt: skip


def started(wiring: Wiring, clock: SteppedClock, made: World, **changes: Any) -> list[str]:
    """The same users in four experiments, one for each method."""
    keys = []
    for number, method in enumerate(Method, start=1):
        document = design(key=f"spring-{number}", metrics=METRICS, plan={"method": str(method)}, **changes)
        keys.append(start(wiring.database, clock, document))
        enrolment(wiring.database, last_user=999, finished_at=START, experiment_id=number)
    store(
        wiring.database,
        assigned=[
            Assigned(one.user, one.variant, one.at, experiment=number)
            for number in range(1, len(keys) + 1)
            for one in made.assigned
        ],
        happened=made.happened,
    )
    clock.advance(START + 9 * DAY + HOUR - clock.now())
    return keys


@pytest.mark.parametrize("case", BAD)
def test_bad_data(
    writer: TestClient, wiring: Wiring, clock: SteppedClock, case: str, subtests: pytest.Subtests
) -> None:
    bad = BAD[case]
    for key in started(wiring, clock, bad.world()):
        with subtests.test(key):
            answer = writer.get(f"/v1/experiments/{key}/report")
            assert answer.status_code == 200, answer.text
            document = answer.json()
            del document["provenance"]
            body = judged(document)
            assert {arm["variant"] for arm in body["arms"]} == set(bad.variants)
            for said in bad.says:
                assert any(said in warning for warning in body["warnings"]), (said, body["warnings"])
            for metric in body["metrics"]:
                name = metric["metric"]
                for effect in metric["effects"]:
                    about = f"{name}, {effect['variant']} against silence: "
                    if name in bad.untold:
                        assert effect["p_value"] is None, (name, effect)
                        assert any(w.startswith(about) and bad.untold[name] in w for w in body["warnings"]), (
                            about,
                            body["warnings"],
                        )
                    elif name not in ("opted_out", "back") and not bad.says and not bad.untold:
                        assert effect["p_value"] is not None, (name, effect)
            table = writer.get(f"/v1/experiments/{key}/report.csv", params={"max_age": 86_400})
            assert table.text == render_csv(body)
            page = writer.get(f"/v1/experiments/{key}/report.html", params={"max_age": 86_400})
            assert key in Page(page.text).text


def test_fifty_arms(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    names = [f"arm{i:02d}" for i in range(50)]
    variants = [
        {"key": key, "control": key == "arm00", "message": {"template": "spring", "language": "en_US"}}
        for key in names
    ]
    key, *_others = started(wiring, clock, world(names, users=1500), variants=variants)
    document = writer.get(f"/v1/experiments/{key}/report").json()
    del document["provenance"]
    body = judged(document)
    primary = [effect for metric in body["metrics"][:2] for effect in metric["effects"]]
    assert len(primary) == 98
    smallest = min(primary, key=lambda effect: effect["p_value"])
    # Holm over all primary comparisons: two metrics times 49 variants.
    assert smallest["adjusted_p_value"] == pytest.approx(min(1, 98 * smallest["p_value"]))
    srm = next(check for check in body["health"] if check["check"] == "srm")
    assert (srm["ok"], srm["p_value"]) == (True, pytest.approx(1))
    page = Page(writer.get(f"/v1/experiments/{key}/report.html", params={"max_age": 86_400}).text)
    assert page.tags.count("tr") >= 50  # the arms are one table
