"""Strategies for policies, ledgers and people whose limits lie close together, so that they are all hit."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from benchmarks.cap_checker import Bounds
from delivery.limits.adaptive import Signal
from delivery.limits.policy import AdaptiveCap, AllowedHours, CategoryCaps, DeliveryPolicy, QuietHours
from delivery.limits.standing import Slot
from experiments.send_times import Frequency, Weekday

NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)
"""The day before clocks are set back in Europe; two weeks later they are in America."""
ZONES = [
    *("UTC", "Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe"),
    *("Africa/Casablanca", "Pacific/Kiritimati", "Asia/Kathmandu"),
]
HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)

counts = st.none() | st.integers(1, 4)
intervals = st.none() | st.integers(1, 40).map(lambda hours: hours * HOUR)
caps = st.builds(CategoryCaps, day=counts, week=counts, month=counts, min_interval=intervals)
quarters = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
spans = st.tuples(quarters, quarters).filter(lambda span: span[0] != span[1])
quiet_hours = st.none() | spans.map(lambda span: QuietHours(start=span[0], end=span[1]))
allowed_hours = st.builds(
    AllowedHours,
    start=quarters,
    end=quarters,
    days=st.sets(st.sampled_from(list(Weekday)), min_size=2).map(lambda found: tuple(sorted(found))),
)
adaptive_caps = st.none() | st.builds(
    AdaptiveCap, lowest=st.sampled_from([0.0, 0.5, 1.0]), highest=st.sampled_from([1.0, 1.5, 3.0])
)
# Unchecked, since a design refuses bounds of which one can never be reached, and here they should be.
frequencies = st.none() | st.builds(
    Frequency.model_construct,
    steps=st.just(30),
    min_interval=st.integers(1, 40).map(lambda hours: hours * HOUR),
    per_day=counts,
    per_week=counts,
    per_month=counts,
)
past = st.integers(0, 30 * 24 * 4).map(lambda quarter: NOW - quarter * QUARTER)
slots = st.lists(
    st.builds(
        Slot,
        user_pk=st.just(1),
        experiment_id=st.sampled_from([1, 2]),
        category=st.sampled_from(["marketing", "marketing", "utility"]),
        at=past,
    ),
    max_size=8,
)
signals = st.lists(
    st.builds(
        Signal,
        user_pk=st.just(1),
        # Around the age at which they are forgotten, too.
        at=past | past.map(lambda at: at - timedelta(days=60)),
        delivered=st.booleans(),
        read=st.booleans(),
        clicked=st.booleans(),
        refused=st.booleans(),
        opted_out=st.booleans(),
    ),
    max_size=5,
)
zones = st.sampled_from(ZONES).map(ZoneInfo)


def bounds_of_caps(found: CategoryCaps) -> Bounds:
    return Bounds((found.day, found.week, found.month), found.min_interval or timedelta(0))


def bounds_of_frequency(found: Frequency) -> Bounds:
    return Bounds((found.per_day, found.per_week, found.per_month), found.min_interval)


@dataclass(frozen=True)
class Person:
    user: int
    zone: str
    country: str | None
    last_inbound_at: datetime | None


people = st.lists(
    st.tuples(
        st.sampled_from(ZONES),
        st.sampled_from([None, "GB", "US"]),
        st.none() | st.integers(0, 60).map(lambda hours: NOW + (hours - 30) * HOUR),
    ),
    min_size=1,
    max_size=4,
).map(lambda found: [Person(index, *each) for index, each in enumerate(found)])
policies = st.builds(
    DeliveryPolicy,
    marketing=caps,
    utility=caps,
    quiet_hours=quiet_hours,
    countries=st.fixed_dictionaries({}, optional={"GB": allowed_hours, "US": allowed_hours}),
    unique_users=st.none() | st.integers(1, 3),
)
