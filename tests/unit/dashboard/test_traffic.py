from datetime import UTC, datetime

import pytest

from dashboard.course import read_course, read_slices
from dashboard.documents import Interval
from dashboard.reading import Unreadable
from dashboard.traffic import read_traffic
from tests.unit.dashboard import samples

INTERVAL = {"estimate": 0.02, "lower": 0.01, "upper": 0.03}


def test_traffic_is_read_with_what_each_slot_knew() -> None:
    traffic = read_traffic(samples.traffic())
    assert (traffic.policy, traffic.metric, traffic.is_bandit) == ("thompson", "visited", True)
    moved, skipped = traffic.slots
    assert (moved.outcome, moved.arms["coupon"].best, moved.arms["coupon"].new_weight) == (
        "moved",
        0.99,
        0.95,
    )
    assert (skipped.reason, skipped.arms) == ("too thin", {})
    assert [epoch.number for epoch in traffic.epochs] == [2, 1]
    assert (traffic.stopped[0].variant, traffic.stopped[0].guard) == ("reminder", "opted_out")


@pytest.mark.parametrize(("log_e", "needed", "share"), [(3.0, 6.0, 0.5), (-2.0, 6.0, 0), (9.0, 6.0, 1), (3.0, 0, 0), (None, 6.0, 0)])  # fmt: skip
def test_the_evidence_of_a_guard_is_a_share_of_what_stops_a_variant(
    log_e: float | None, needed: float, share: float
) -> None:
    (guard,) = samples.traffic()["guards"]
    traffic = read_traffic(samples.traffic(guards=[guard | {"log_e": log_e, "needed": needed}]))
    assert traffic.guards[0].share_of_evidence == share


def test_looks_without_a_time_or_an_estimate_stay_apart() -> None:
    effect = {"metric": "visited", "variant": "coupon", "n": 9, **INTERVAL}
    points = read_course(
        {
            "items": [
                {"report": 1, "as_of": "2026-12-01T10:00:00Z", "effects": [effect | {"estimate": None}]},
                {"report": 2, "as_of": None, "effects": [effect]},
                {"report": 3, "as_of": "2026-12-03T10:00:00Z", "effects": [effect]},
            ]
        }
    )
    assert [(point.report, point.interval) for point in points] == [
        (1, None),
        (3, Interval(0.02, 0.01, 0.03)),
    ]
    assert points[1].at == datetime(2026, 12, 3, 10, tzinfo=UTC)


def test_slices_are_read_with_their_effects_and_reasons() -> None:
    document = {
        "by": "country",
        "as_of": "2026-12-03T10:00:00Z",
        "alpha": 0.1,
        "metrics": [
            {
                "metric": "visited",
                "kind": "proportion",
                "role": "primary",
                "slices": [
                    {"slice": "NL", "n": 200, "n_control": 210, "effect": samples.effect("coupon", absolute=INTERVAL)},
                    {"slice": "", "n": 3, "n_control": 2, "effect": samples.effect("coupon"), "reasons": ["too few"]},
                ],
                "heterogeneity": [{"variant": "coupon", "says": "no slice differs"}],
            }
        ],
    }  # fmt: skip
    slices = read_slices(document)
    (metric,) = slices.metrics
    assert (slices.by, slices.alpha, metric.says) == ("country", 0.1, (("coupon", "no slice differs"),))
    assert [(each.slice, each.users, each.reasons) for each in metric.slices] == [
        ("NL", 200, ()),
        ("", 3, ("too few",)),
    ]
    assert metric.slices[0].effect.absolute == Interval(0.02, 0.01, 0.03)


def test_what_is_something_else_is_refused() -> None:
    for read in (read_traffic, read_course, read_slices):
        with pytest.raises(Unreadable):
            read({"detail": "no"})
