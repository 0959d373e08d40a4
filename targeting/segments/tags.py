"""Tags: words on users, kept as the list attribute `tags`, so that conditions, SQL and SDKs see them like any attribute.

Rows are held while their tags change, so that of two additions at once none is lost.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock
from experiments.database import Database
from experiments.errors import Invalid
from targeting import users
from targeting.models import User
from targeting.profile import check_text, merge_attributes
from targeting.rule_triggers import AttributeChange, note_changes
from targeting.segments import attribute_repository
from targeting.segments import service as segments
from targeting.segments.audience_repository import audience_of, pages

ATTRIBUTE: Final = "tags"
MAX_LENGTH: Final = 100
MAX_TAGS: Final = 1_000
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Tagged:
    """What became of the users: those whose tags changed, and those who could not have another tag."""

    looked_at: int = 0
    changed: int = 0
    refused: int = 0


def check_tag(tag: str, *, field: str = "tag") -> str:
    """The tag without blanks around it; raises Invalid when it is empty, too long, or no clean text."""
    return check_text(tag.strip(), field=field, limit=MAX_LENGTH)


def add(
    session: Session, clock: Clock, *, user_pks: Collection[int], tag: str, chain: tuple[int, ...] = ()
) -> Tagged:
    """Put a tag on each of these users who does not have it. Pass a page of users at a time.

    `chain` are the ids of the rules that led to this. A user whose attribute `tags` is something other than a list or a
    text, or is full, is left as they are and counted as refused.
    """
    tag = check_tag(tag)
    return _change(session, clock, user_pks, lambda tags: tags if tag in tags else [*tags, tag], chain)


def remove(
    session: Session, clock: Clock, *, user_pks: Collection[int], tag: str, chain: tuple[int, ...] = ()
) -> Tagged:
    """Take a tag off each of these users who has it; as `add`."""
    tag = check_tag(tag)
    return _change(session, clock, user_pks, lambda tags: [each for each in tags if each != tag], chain)


def _change(
    session: Session,
    clock: Clock,
    user_pks: Collection[int],
    change: Callable[[list[Any]], list[Any]],
    chain: tuple[int, ...],
) -> Tagged:
    held = attribute_repository.hold_attributes(session, user_pks)
    now = clock.now()
    changes: list[AttributeChange] = []
    refused = 0
    for user_pk, attributes in held:
        try:
            after = with_tags(attributes, change)
        except Invalid:
            refused += 1
            continue
        if after != attributes:
            changes.append(AttributeChange(user_pk, attributes, after))
    attribute_repository.write_attributes(session, {one.user_pk: one.after for one in changes}, now=now)
    note_changes(session, changes=changes, now=now, chain=chain)
    return Tagged(looked_at=len(held), changed=len(changes), refused=refused)


def with_tags(attributes: dict[str, Any], change: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    """The attributes with other tags. A text counts as one tag, which is how a column of a file arrives."""
    known = attributes.get(ATTRIBUTE)
    if not isinstance(known, str | list | None):
        raise Invalid("is neither a list nor a text", field=f"attributes.{ATTRIBUTE}")
    tags = [known] if isinstance(known, str) else known or []
    changed = change(tags)
    if changed == tags:
        return attributes
    if len(changed) > max(MAX_TAGS, len(tags)):
        raise Invalid(f"a user has at most {MAX_TAGS} tags", field=f"attributes.{ATTRIBUTE}")
    return merge_attributes(attributes, {ATTRIBUTE: changed})


def tag_user(session: Session, clock: Clock, *, actor: str, user_id: str, tags: Collection[str]) -> User:
    """Put tags on one user. Raises NotFound, Invalid when a tag is no tag or the user can have no more."""
    return _one(session, clock, actor, user_id, add, tags)


def untag_user(session: Session, clock: Clock, *, actor: str, user_id: str, tag: str) -> User:
    """Take a tag off one user; a tag that is not there is no error. Raises NotFound."""
    return _one(session, clock, actor, user_id, remove, [tag])


def _one(
    session: Session,
    clock: Clock,
    actor: str,
    user_id: str,
    change: Callable[..., Tagged],
    tags: Collection[str],
) -> User:
    user = users.find(session, user_id=user_id)
    before = user.attributes.get(ATTRIBUTE)
    changed = 0
    for tag in tags:
        done = change(session, clock, user_pks=[user.id], tag=tag)
        if done.refused:
            raise Invalid("cannot take another tag: the attribute is no list, or full", field="tags")
        changed += done.changed
    user = users.find(session, user_id=user_id)
    if changed:
        audit.record(
            session,
            clock,
            actor=actor,
            action="user.tags",
            subject_kind="user",
            subject_key=user_id,
            before={ATTRIBUTE: before},
            after={ATTRIBUTE: user.attributes.get(ATTRIBUTE)},
        )
    return user


def tag_segment(
    database: Database,
    clock: Clock,
    *,
    actor: str,
    key: str,
    tag: str,
    remove_it: bool = False,
    page: int = PAGE,
) -> Tagged:
    """Put a tag on everybody who is in a segment now, or take it off, `page` users to a transaction.

    Stopped half-way, it has done a part, and doing it again does the rest. Raises NotFound, Invalid for a bad tag.
    """
    with database.snapshot() as session:
        segments.find(session, key=key)
    return tag_audience(
        database,
        clock,
        actor=actor,
        condition={"$inSegment": key},
        tag=tag,
        remove_it=remove_it,
        page=page,
        subject=("segment", key),
    )


def tag_audience(
    database: Database,
    clock: Clock,
    *,
    actor: str,
    condition: dict[str, Any],
    tag: str,
    remove_it: bool = False,
    page: int = PAGE,
    subject: tuple[str, str] = ("tag", ""),
) -> Tagged:
    """The same for everybody who meets a (valid) condition."""
    tag = check_tag(tag)
    change = remove if remove_it else add
    total = Tagged()
    now = clock.now()
    after = 0
    while True:
        with database.snapshot() as session:
            audience = audience_of(session, condition, now=now, field="condition")
            some = next(
                (rows for rows in pages(session, audience, page=page, after_pk=after, ids_only=True) if rows),
                None,
            )
        if not some:
            break
        after = some[-1].id
        with database.transaction() as session:
            done = change(session, clock, user_pks=[row.id for row in some], tag=tag)
        total = Tagged(
            total.looked_at + done.looked_at, total.changed + done.changed, total.refused + done.refused
        )
    with database.transaction() as session:
        kind, key = subject
        audit.record(
            session,
            clock,
            actor=actor,
            action="segment.untag" if remove_it else "segment.tag",
            subject_kind=kind,
            subject_key=key or tag,
            after={"tag": tag, "condition": condition, "users": total.changed},
        )
    return total
