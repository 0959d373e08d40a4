"""Segments: conditions and lists, what they refuse, who is in them, and how they overlap."""

import io
from datetime import timedelta

import pytest
from sqlmodel import select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound, TooLarge
from targeting import campaigns
from targeting.models import Segment, SegmentMember
from targeting.segments import membership
from targeting.segments import service as segments
from targeting.segments.lists import ListSummary, import_members
from tests.integration.crowd import add_crowd, add_list, meant
from tests.integration.people import campaign

ADULTS = {"age": {"$gte": 18}}
ODD = {"$or": [{"plan": {"$regex": "-[13]$"}}, {"$event": {"name": "Viewed", "within": "20d"}}]}


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
    return database


def put(database: Database, clock: SteppedClock, key: str, condition: dict | None) -> Segment:
    with database.transaction() as session:
        return segments.put(session, clock, actor="test", key=key, name=key.title(), condition=condition)


def members(database: Database, key: str) -> set[int]:
    with database.snapshot() as session:
        found = select(SegmentMember.user_pk).where(
            SegmentMember.segment_id == Segment.id, Segment.key == key
        )
        return set(session.exec(found))


def test_a_segment_is_put_once_changed_and_audited(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "adults", ADULTS)
    clock.advance(timedelta(hours=1))
    again = put(crowd, clock, "adults", ADULTS)
    assert again.updated_at < clock.now()
    assert put(crowd, clock, "adults", {"age": {"$gte": 21}}).updated_at == clock.now()
    with crowd.snapshot() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
        found = segments.find(session, key="adults")
    assert [(entry.action, entry.before, entry.after["condition"]) for entry in entries] == [
        ("segment.put", None, ADULTS),
        ("segment.put", {"name": "Adults", "condition": ADULTS}, {"age": {"$gte": 21}}),
    ]
    assert found.condition == {"age": {"$gte": 21}}


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"age": {"$gt": [1]}}, "condition.age.$gt"),
        ({"$or": [{"$inSegment": "nope"}]}, "condition.$or[0].$inSegment"),
        ({"$not": {"$inSegment": ["vips", "me"]}}, "condition.$not.$inSegment[1]"),
    ],
)
def test_a_bad_condition_is_refused_with_its_path(
    crowd: Database, clock: SteppedClock, condition: dict, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        put(crowd, clock, "me", condition)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_segments_that_would_turn_in_a_circle_are_refused_with_the_way(
    crowd: Database, clock: SteppedClock
) -> None:
    put(crowd, clock, "a", ADULTS)
    put(crowd, clock, "b", {"$inSegment": "a"})
    put(crowd, clock, "c", {"$or": [{"plan": "x"}, {"$inSegment": ["vips", "b"]}]})
    with pytest.raises(Invalid) as refused:
        put(crowd, clock, "a", {"$and": [{"plan": "y"}, {"$not": {"$inSegment": "c"}}]})
    (problem,) = refused.value.problems
    assert problem.field == "condition.$and[1].$not.$inSegment"
    assert "c -> b -> a -> c" in problem.message
    assert put(crowd, clock, "a", {"plan": "z"}).condition == {"plan": "z"}


def test_a_change_that_would_break_whoever_names_the_segment_is_refused(
    crowd: Database, clock: SteppedClock
) -> None:
    put(crowd, clock, "s0", ADULTS)
    for level in range(1, 8):
        put(crowd, clock, f"s{level}", {"$inSegment": f"s{level - 1}"})
    with crowd.transaction() as session:
        audience = {"condition": {"$inSegment": "s7"}}
        campaigns.create(session, clock, actor="test", document=campaign("spring", audience=audience))
    put(crowd, clock, "deeper", ADULTS)
    with pytest.raises(Conflict, match=r"experiment 'spring'.*deep"):
        put(crowd, clock, "s0", {"$inSegment": "deeper"})


def test_a_segment_that_is_named_is_not_deleted(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "adults", ADULTS)
    put(crowd, clock, "100_", {"$not": {"$inSegment": "adults"}})
    with crowd.transaction() as session:
        audience = {"condition": {"$or": [{"$inSegment": ["vips", "adults"]}]}}
        campaigns.create(session, clock, actor="test", document=campaign("spring", audience=audience))
    with (
        pytest.raises(Conflict, match=r"experiment 'spring', segment '100_'"),
        crowd.transaction() as session,
    ):
        segments.delete(session, clock, actor="test", key="adults")
    with crowd.transaction() as session:
        assert segments.used_by(session, key="100_") == []
        segments.delete(session, clock, actor="test", key="100_")
        assert segments.used_by(session, key="vips") == [("experiment", "spring")]
        with pytest.raises(NotFound):
            segments.delete(session, clock, actor="test", key="100_")


def test_a_list_stays_a_list_and_a_word_of_the_api_is_no_key(crowd: Database, clock: SteppedClock) -> None:
    with pytest.raises(Conflict, match="is a list"):
        put(crowd, clock, "vips", ADULTS)
    with pytest.raises(Invalid, match="preview"):
        put(crowd, clock, "preview", ADULTS)
    with pytest.raises(Conflict, match="is a list"):
        membership.refresh(crowd, clock, key="vips")


@pytest.mark.parametrize("condition", [ADULTS, ODD, {"$inSegment": ["vips"], "plan": "plan-3"}, {}])
@pytest.mark.parametrize("step", [7, 1000])
def test_a_refresh_makes_the_members_whom_the_closure_means(
    crowd: Database, clock: SteppedClock, condition: dict, step: int
) -> None:
    put(crowd, clock, "s", condition)
    with crowd.snapshot() as session:
        expected = meant(session, clock, condition)
    first = membership.refresh(crowd, clock, key="s", step=step)
    assert (first.size, first.joined, first.left) == (len(expected), len(expected), 0)
    assert members(crowd, "s") == expected
    again = membership.refresh(crowd, clock, key="s", step=step)
    assert (again.size, again.joined, again.left) == (len(expected), 0, 0)


@pytest.mark.parametrize(
    ("before", "after"), [(ADULTS, {"plan": "plan-2"}), (ODD, {"plan": {"$regex": "-[12]$"}})]
)
def test_who_stays_keeps_the_time_of_joining(
    crowd: Database, clock: SteppedClock, before: dict, after: dict
) -> None:
    began = clock.now()
    put(crowd, clock, "s", before)
    membership.refresh(crowd, clock, key="s", step=9)
    was = members(crowd, "s")
    clock.advance(timedelta(minutes=1))
    changed = put(crowd, clock, "s", after)
    assert (changed.size, changed.refreshed_at) == (None, None)
    done = membership.refresh(crowd, clock, key="s", step=9)
    now = members(crowd, "s")
    assert (done.joined, done.left, done.size) == (len(now - was), len(was - now), len(now))
    assert was & now
    with crowd.snapshot() as session:
        rows = membership.members_of(session, key="s", after_pk=0, limit=500)
    assert {row.id for row in rows if row.added_at == began} == was & now
    assert {row.id for row in rows if row.added_at == clock.now()} == now - was


def test_the_scheduler_refreshes_what_is_old(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "adults", ADULTS)
    put(crowd, clock, "odd", ODD)
    hour = timedelta(hours=1)
    assert membership.refresh_tick(crowd, clock, every=hour) == 2
    assert membership.refresh_tick(crowd, clock, every=hour) == 0
    clock.advance(timedelta(minutes=30))
    membership.refresh(crowd, clock, key="odd")
    clock.advance(timedelta(minutes=30))
    assert membership.refresh_tick(crowd, clock, every=hour) == 1
    with crowd.snapshot() as session:
        assert segments.find(session, key="adults").refreshed_at == clock.now()


def test_a_list_is_set_whole_and_tells_what_it_does_not_know(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "staff", None)
    with crowd.transaction() as session:
        ids = ["user-1", "nobody", "user-2", "user-1", "user-3"]
        listed = membership.set_members(session, clock, actor="test", key="staff", user_ids=ids)
    assert (listed.size, listed.added, listed.removed, listed.unknown) == (3, 3, 0, ((1, "nobody"),))
    with crowd.transaction() as session:
        listed = membership.set_members(
            session, clock, actor="test", key="staff", user_ids=["user-3", "user-4"]
        )
    assert (listed.size, listed.added, listed.removed) == (2, 1, 2)
    assert members(crowd, "staff") == {3, 4}
    put(crowd, clock, "adults", ADULTS)
    with pytest.raises(Conflict, match="is a condition"), crowd.transaction() as session:
        membership.set_members(session, clock, actor="test", key="adults", user_ids=["user-1"])


def upload(database: Database, clock: SteppedClock, text: str, **options) -> tuple[ListSummary, str]:
    rejects = io.StringIO()
    summary = import_members(
        database, clock, io.BytesIO(text.encode()), actor="test", key="staff", rejects=rejects, **options
    )
    return summary, rejects.getvalue()


def test_a_file_lands_on_a_list_and_again_changes_nothing(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "staff", None)
    text = "user_id,team\nuser-1,a\nghost,b\nuser-2\n\nuser-1,c\n"
    seen: list[int] = []
    summary, rejects = upload(crowd, clock, text, progress=seen.append)
    assert summary == ListSummary(rows=4, added=1, present=1, rejected=2, removed=0, size=1)
    assert rejects.splitlines()[1:] == [
        "3,user_id,is no user's id,ghost",
        '4,,"has 1 cells, the header has 2",user-2',
    ]
    again, _ = upload(crowd, clock, text)
    assert (again.added, again.size) == (0, 1)
    plain, _ = upload(crowd, clock, "user-5\nuser-6\n", replace=True)
    assert (plain.added, plain.removed, plain.size) == (2, 1, 2)
    assert members(crowd, "staff") == {5, 6}
    assert seen == [4]


def test_a_file_that_is_too_long_lands_in_part_and_replaces_nothing(
    crowd: Database, clock: SteppedClock
) -> None:
    put(crowd, clock, "staff", None)
    upload(crowd, clock, "user-9\n")
    with pytest.raises(TooLarge, match="more than 2 rows"):
        upload(crowd, clock, "user-1\nuser-2\nuser-3\n", max_rows=2, replace=True)
    assert members(crowd, "staff") == {1, 2, 9}
    summary, _ = upload(crowd, clock, "user-1\nuser-2\n", max_rows=2)
    assert summary.present == 2


@pytest.mark.parametrize("a", ["adults", "odd", "vips"])
@pytest.mark.parametrize("b", ["adults", "odd", "vips"])
def test_overlap(crowd: Database, clock: SteppedClock, a: str, b: str) -> None:
    put(crowd, clock, "adults", ADULTS)
    put(crowd, clock, "odd", ODD)
    with crowd.snapshot() as session:
        if "odd" in {a, b}:
            with pytest.raises(Conflict, match="refresh it first"):
                membership.overlap(session, clock, a=a, b=b)
    membership.refresh(crowd, clock, key="odd")
    with crowd.snapshot() as session:
        sets = {"adults": meant(session, clock, ADULTS), "odd": meant(session, clock, ODD)}
        sets["vips"] = members(crowd, "vips")
        found = membership.overlap(session, clock, a=a, b=b)
    both = sets[a] & sets[b]
    assert (found.a, found.b, found.both) == (len(sets[a]), len(sets[b]), len(both))
    assert (found.only_a, found.only_b) == (len(sets[a] - sets[b]), len(sets[b] - sets[a]))
    assert found.jaccard == pytest.approx(len(both) / len(sets[a] | sets[b]))
    # The list of the crowd was never changed since it was made, so it has no time.
    assert [moment is None for moment in found.as_of] == [name != "odd" for name in (a, b)]


def test_nothing_overlaps_with_nothing(crowd: Database, clock: SteppedClock) -> None:
    put(crowd, clock, "none", {"plan": "no such"})
    with crowd.snapshot() as session:
        assert membership.overlap(session, clock, a="none", b="none").jaccard is None
        with pytest.raises(NotFound) as missing:
            membership.overlap(session, clock, a="none", b="nope")
    assert missing.value.problems[0].field == "b"


def test_a_second_list_does_not_mix_with_the_first(crowd: Database, clock: SteppedClock) -> None:
    with crowd.transaction() as session:
        add_list(session, clock, "others", [1, 2])
    before = members(crowd, "vips")
    put(crowd, clock, "s", {"$inSegment": "others"})
    membership.refresh(crowd, clock, key="s")
    assert members(crowd, "s") == {1, 2}
    assert members(crowd, "vips") == before
