"""Tags: put on, taken off, by hand and for whole segments, and none lost when two come at once."""

import threading

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, NotFound
from targeting import users
from targeting.models import PendingTrigger, Rule
from targeting.segments import service as segments
from targeting.segments import tags
from targeting.segments.audience_repository import audience_of, pages
from targeting.segments.tags import MAX_TAGS, Tagged
from tests.integration.crowd import add_crowd, meant


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
    return database


def tags_of(database: Database, user_id: str) -> object:
    with database.snapshot() as session:
        return users.find(session, user_id=user_id).attributes.get("tags")


def test_one_user_is_tagged_once_and_audited(crowd: Database, clock: SteppedClock) -> None:
    with crowd.transaction() as session:
        tags.tag_user(session, clock, actor="test", user_id="user-1", tags=[" winter ", "winter", "vip"])
    with crowd.transaction() as session:
        user = tags.untag_user(session, clock, actor="test", user_id="user-1", tag="new")
        tags.untag_user(session, clock, actor="test", user_id="user-1", tag="was never there")
    assert user.attributes["tags"] == ["winter", "vip"]
    with crowd.snapshot() as session:
        entries = session.exec(select(AuditEntry)).all()
        assert [(entry.before, entry.after) for entry in entries] == [
            ({"tags": ["new"]}, {"tags": ["new", "winter", "vip"]}),
            ({"tags": ["new", "winter", "vip"]}, {"tags": ["winter", "vip"]}),
        ]
        wanted = audience_of(session, {"tags": {"$in": ["winter"]}}, now=clock.now())
        assert [row.user_id for rows in pages(session, wanted) for row in rows] == ["user-1"]


@pytest.mark.parametrize(
    ("known", "after"),
    [
        (None, ["x"]),
        ("vip", ["vip", "x"]),
        ([], ["x"]),
        (["x"], ["x"]),
        ([1, None], [1, None, "x"]),
        (5, None),
        ({"a": 1}, None),
        ([str(n) for n in range(MAX_TAGS)], None),
    ],
    ids=["absent", "text", "empty", "there", "mixed", "number", "object", "full"],
)
def test_whatever_tags_were_before(
    crowd: Database, clock: SteppedClock, known: object, after: list | None
) -> None:
    with crowd.transaction() as session:
        users.upsert(session, clock, actor="test", user_id="user-2", attributes={"tags": known})
    if after is None:
        with pytest.raises(Invalid, match="tags"), crowd.transaction() as session:
            tags.tag_user(session, clock, actor="test", user_id="user-2", tags=["x"])
        with crowd.transaction() as session:
            assert tags.add(session, clock, user_pks=[1, 2], tag="x") == Tagged(2, 1, 1)
        assert tags_of(crowd, "user-2") == known
    else:
        with crowd.transaction() as session:
            tags.tag_user(session, clock, actor="test", user_id="user-2", tags=["x"])
        assert tags_of(crowd, "user-2") == after


@pytest.mark.parametrize("tag", ["", "  ", "a" * 101, "nul\0"])
def test_what_is_no_tag(crowd: Database, clock: SteppedClock, tag: str) -> None:
    with pytest.raises(Invalid) as refused, crowd.transaction() as session:
        tags.tag_user(session, clock, actor="test", user_id="user-1", tags=[tag])
    assert refused.value.problems[0].field == "tag"
    with pytest.raises(NotFound), crowd.transaction() as session:
        tags.tag_user(session, clock, actor="test", user_id="nobody", tags=["x"])


@pytest.mark.parametrize(
    "condition", [None, {"plan": "plan-1"}, {"$or": [{"plan": {"$regex": "-2$"}}, {"$inSegment": "vips"}]}]
)
def test_a_whole_segment_is_tagged_and_untagged_page_by_page(
    crowd: Database, clock: SteppedClock, condition: dict | None
) -> None:
    key = "vips"
    if condition is not None:
        key = "some"
        with crowd.transaction() as session:
            segments.put(session, clock, actor="test", key=key, name=key, condition=condition)
    with crowd.snapshot() as session:
        expected = meant(session, clock, {"$inSegment": key})
        had = meant(session, clock, {"tags": {"$in": ["vip"]}})
    done = tags.tag_segment(crowd, clock, actor="test", key=key, tag="vip", page=4)
    assert (done.looked_at, done.changed, done.refused) == (len(expected), len(expected - had), 0)
    with crowd.snapshot() as session:
        assert meant(session, clock, {"tags": {"$in": ["vip"]}}) == had | expected
    assert tags.tag_segment(crowd, clock, actor="test", key=key, tag="vip", page=4).changed == 0
    gone = tags.tag_segment(crowd, clock, actor="test", key=key, tag="vip", remove_it=True, page=4)
    assert gone.changed == len(expected)
    with crowd.snapshot() as session:
        assert meant(session, clock, {"tags": {"$in": ["vip"]}}) == had - expected
        entry = session.exec(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.action, entry.subject_key, entry.after["users"]) == ("segment.untag", key, len(expected))


def test_a_segment_that_defines_itself_by_the_tag_is_walked_to_its_end(
    crowd: Database, clock: SteppedClock
) -> None:
    with crowd.transaction() as session:
        condition = {"$not": {"tags": {"$in": ["seen"]}}}
        segments.put(session, clock, actor="test", key="unseen", name="Unseen", condition=condition)
    done = tags.tag_segment(crowd, clock, actor="test", key="unseen", tag="seen", page=7)
    assert done == Tagged(looked_at=60, changed=60, refused=0)
    with pytest.raises(NotFound):
        tags.tag_segment(crowd, clock, actor="test", key="nope", tag="seen")


def test_of_two_additions_at_once_none_is_lost(crowd: Database, clock: SteppedClock) -> None:
    barrier = threading.Barrier(4)
    errors: list[Exception] = []

    def put_on(number: int) -> None:
        try:
            barrier.wait(timeout=20)
            for turn in range(5):
                with crowd.transaction() as session:
                    tags.add(session, clock, user_pks=[1, 2, 3], tag=f"t{number}-{turn}")
        except DBAPIError as error:
            errors.append(error)

    threads = [threading.Thread(target=put_on, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    expected = {f"t{number}-{turn}" for number in range(4) for turn in range(5)}
    for user_id in ("user-1", "user-2", "user-3"):
        found = tags_of(crowd, user_id)
        assert isinstance(found, list)
        assert expected <= set(found)


def test_rules_that_wait_for_tags_are_told(crowd: Database, clock: SteppedClock) -> None:
    now = clock.now()
    with crowd.transaction() as session:
        session.add(
            Rule(
                key="r",
                name="r",
                enabled=True,
                definition={},
                waits_for="attribute:tags",
                created_at=now,
                updated_at=now,
            )
        )
    with crowd.transaction() as session:
        tags.add(session, clock, user_pks=[1, 2], tag="new")
        tags.add(session, clock, user_pks=[3], tag="new", chain=(7,))
    with crowd.snapshot() as session:
        pending = session.exec(select(PendingTrigger).order_by(PendingTrigger.id)).all()
    # user-1 and user-2 had the tag; user-3 had none.
    assert [(one.user_pk, one.changes, one.chain) for one in pending] == [
        (3, {"tags": {"before": [], "after": ["new"]}}, [7])
    ]
