"""Following the rules never breaks one, never waits longer than it must, and is exact to the microsecond."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cap_checker import Promises, Sent, breaches
from delivery.limits.adaptive import EVIDENCE, factor
from delivery.limits.caps import adapted, free_at
from delivery.limits.circumstances import Circumstances, week_of
from delivery.limits.policy import AdaptiveCap, DeliveryPolicy
from delivery.limits.standing import Slot, Standing, first_allowed
from delivery.limits.tier import TIER_WINDOW, Leaving, counts
from delivery.outbox.dispatch_repository import Recipient
from experiments.send_times import Frequency
from tests.property import policies
from tests.property.policies import NOW, QUARTER, Person, bounds_of_caps, bounds_of_frequency

MONDAY = datetime(2026, 12, 7, tzinfo=UTC)
WINDOW = timedelta(minutes=30)
TICK = timedelta(microseconds=1)
DAYS = (timedelta(days=1), timedelta(days=7), timedelta(days=30))

# Whole minutes collide with one another and with the edges of the window, which is where mistakes would show.
minutes = st.integers(min_value=0, max_value=120)
caps = st.integers(min_value=1, max_value=4)


def at(minute: int) -> datetime:
    return MONDAY + timedelta(minutes=minute)


def counting(slots: list[datetime], moment: datetime) -> int:
    return sum(moment - WINDOW < slot <= moment for slot in slots)


@given(wishes=st.lists(minutes, max_size=25), cap=caps)
def test_no_window_ever_holds_more_than_the_cap(wishes: list[int], cap: int) -> None:
    slots: list[datetime] = []
    for wish in sorted(wishes):
        now = max([at(wish), *slots[-1:]])
        free = free_at(slots, cap=cap, window=WINDOW, now=now)
        assert free is not None
        assert free >= now
        slots.append(free)
    assert all(counting(slots, slot) <= cap for slot in slots)


@given(taken=st.lists(minutes, max_size=12), wish=minutes, cap=caps)
def test_it_is_the_first_minute_with_room(taken: list[int], wish: int, cap: int) -> None:
    now = at(wish)
    slots = [at(minute) for minute in taken if minute <= wish]
    brute = next(
        moment
        for moment in (now + timedelta(minutes=step) for step in range(200))
        if counting(slots, moment) < cap
    )
    assert free_at(slots, cap=cap, window=WINDOW, now=now) == brute


@given(cap=st.integers(0, 50), evidence=policies.signals, lowest=st.floats(0, 1), highest=st.floats(1, 10))
def test_an_adapted_cap_stays_within_its_bounds(cap, evidence, lowest, highest) -> None:
    standing = Standing("marketing", 1, (), policies.CategoryCaps(week=cap), signals=evidence)
    bounds = AdaptiveCap(lowest=lowest, highest=highest)
    (limit,) = replace(standing, adaptive=bounds).limits_at(NOW)
    assert min(cap, 1) <= limit.count <= cap * highest
    assert limit.count >= int(cap * lowest)


def _is_allowed(standing: Standing, moment: datetime) -> bool:
    """The definitions of the rules in their own words, at one moment."""

    def fits(slots: list[datetime], limits: tuple[int | None, ...], times: float) -> bool:
        return all(
            cap is None or sum(moment - window < slot for slot in slots) < adapted(cap, times)
            for cap, window in zip(limits, DAYS, strict=True)
        )

    own, frequency = standing.caps, standing.frequency
    category = [slot.at for slot in standing.slots if slot.category == standing.category]
    experiment = [slot.at for slot in standing.slots if slot.experiment_id == standing.experiment_id]
    remembered = [signal for signal in standing.signals if moment - EVIDENCE < signal.at]
    times = 1.0 if standing.adaptive is None else factor(policies_evidence(remembered), standing.adaptive)
    shown = moment.astimezone(standing.zone)
    place = shown.weekday() * 86_400 + shown.hour * 3600 + shown.minute * 60 + shown.second
    week = zip(standing.week.starts, standing.week.ends, strict=True)
    return (
        fits(category, (own.day, own.week, own.month), times)
        and all(own.min_interval is None or moment - slot >= own.min_interval for slot in category)
        and (
            frequency is None
            or (
                fits(experiment, (frequency.per_day, frequency.per_week, frequency.per_month), 1.0)
                and all(moment - slot >= frequency.min_interval for slot in experiment)
            )
        )
        and (standing.busy_until is None or moment >= standing.busy_until)
        and any(start <= place * 1_000_000 + shown.microsecond < end for start, end in week)
    )


def policies_evidence(signals):
    from delivery.limits.adaptive import Evidence

    names = {"reads": "read", "clicks": "clicked", "delivered": "delivered"}
    names |= {"refused": "refused", "opted_out": "opted_out"}
    return Evidence(
        **{name: sum(getattr(signal, part) for signal in signals) for name, part in names.items()}
    )


@given(
    slots=policies.slots,
    caps=policies.caps,
    adaptive=policies.adaptive_caps,
    signals=policies.signals,
    frequency=policies.frequencies,
    policy=policies.policies,
    country=st.sampled_from([None, "GB"]),
    zone=policies.zones,
    busy=st.none() | st.integers(0, 200).map(lambda quarter: NOW + quarter * QUARTER),
    shift=st.sampled_from([0, 1, 7_777_777]),
)
@settings(max_examples=150)
def test_the_first_allowed_moment_is_exact(
    slots, caps, adaptive, signals, frequency, policy, country, zone, busy, shift
) -> None:
    """Nothing is allowed at any earlier moment, and at that moment it is."""
    now = NOW + shift * TICK
    standing = Standing(
        category="marketing",
        experiment_id=1,
        slots=slots,
        caps=caps,
        adaptive=adaptive,
        signals=signals,
        frequency=frequency,
        week=week_of(policy, country),
        zone=zone,
        busy_until=busy,
    )
    found = first_allowed(standing, now)
    if found.at is None:
        assert standing.week.is_never
        return
    assert _is_allowed(standing, found.at)
    # Whatever becomes allowed does so when a slot leaves a window, an interval ends, a signal is forgotten, or on the
    # quarter of an hour (hours of policies and changes of clocks).
    edges = {now, *(NOW + n * QUARTER for n in range(int((found.at - NOW) / QUARTER) + 1))}
    for slot in slots:
        edges |= {slot.at + window for window in DAYS}
        edges |= {
            slot.at + rest for rest in (caps.min_interval, frequency and frequency.min_interval) if rest
        }
    edges |= {signal.at + EVIDENCE for signal in signals}
    assert [edge for edge in sorted(edges) if now <= edge < found.at and _is_allowed(standing, edge)] == []
    assert (found.reason is None) == (found.at == now)
    assert max(at for _, at in found.rules) <= found.at if found.rules else found.at == now


class _World:
    """Messages that follow the rules: each is tried when it is due, and goes or is put off for as long as it is told to."""

    def __init__(self, policy: DeliveryPolicy, people: list[Person], arms: list[Frequency | None]) -> None:
        self.policy, self.people, self.arms = policy, people, arms
        self.sent: list[Sent] = []

    def run(self, wishes: list[tuple[int, int, str, datetime]]) -> None:
        """`wishes`: person, experiment, category, due time."""
        queue = [(due, index, wish) for index, wish in enumerate(wishes) for due in [wish[3]]]
        while queue:
            queue.sort()
            now, index, (user, experiment, category, _) = queue.pop(0)
            then = self._standing(self.people[user], experiment, category, now)
            if then is None:
                continue
            if then > now:
                queue.append((then, index, wishes[index]))
                continue
            person = self.people[user]
            self.sent.append(
                Sent(user, experiment, category, now, person.zone, person.country, person.last_inbound_at)
            )

    def _standing(self, person: Person, experiment: int, category: str, now: datetime) -> datetime | None:
        slots = [
            Slot(sent.user, sent.experiment, sent.category, sent.at)
            for sent in self.sent
            if sent.user == person.user
        ]
        latest: dict[int, datetime] = {}
        for sent in self.sent:
            if sent.at > now - TIER_WINDOW and counts(sent.at, sent.last_inbound_at):
                latest[sent.user] = sent.at
        leaving = Leaving(
            len(latest), 0, sorted((time + TIER_WINDOW for time in latest.values()), reverse=True)
        )
        circumstances = Circumstances(
            self.policy, now, {person.user: slots}, {}, self.policy.unique_users, leaving
        )
        phone = {"GB": "+447700900123", "US": "+12025550123", None: "+99900000001"}[person.country]
        standing = circumstances.standing(
            person.user,
            Recipient("u", phone, person.zone, {}, None, person.last_inbound_at),
            category=category,
            experiment_id=experiment,
            frequency=self.arms[experiment],
            busy_until=None,
        )
        return first_allowed(standing, now).at


@given(
    policy=policies.policies,
    people=policies.people,
    arms=st.lists(policies.frequencies, min_size=1, max_size=3),
    data=st.data(),
)
@settings(max_examples=150)
def test_whoever_follows_the_rules_breaks_none(policy, people, arms, data) -> None:
    wishes = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, len(people) - 1),
                st.integers(0, len(arms) - 1),
                st.sampled_from(["marketing", "marketing", "utility"]),
                st.integers(0, 14 * 96).map(lambda quarter: NOW + quarter * QUARTER),
            ),
            max_size=25,
        )
    )
    world = _World(policy, people, arms)
    world.run(wishes)
    promises = Promises(
        categories={name: bounds_of_caps(policy.caps(name)) for name in ("marketing", "utility")},
        experiments={
            index: bounds_of_frequency(frequency) for index, frequency in enumerate(arms) if frequency
        },
        quiet=(policy.quiet_hours.start, policy.quiet_hours.end) if policy.quiet_hours else None,
        allowed={
            country: (hours.start, hours.end, frozenset(day.number for day in hours.days))
            for country, hours in policy.countries.items()
        },
        unique_users=policy.unique_users,
    )
    assert breaches(world.sent, promises) == []
    # The checker can tell: one more message than was allowed, right after another, is seen.
    bounded = [sent for sent in world.sent if policy.caps(sent.category).min_interval]
    if bounded:
        assert breaches([*world.sent, bounded[-1]._replace(at=bounded[-1].at + TICK)], promises) != []
