"""Segment's calls as ours: what their JSON may look like, what becomes of each, and the path of each wrong field. Pure.

The bodies are read with msgspec straight into the values below, which also are their schema in the OpenAPI document.
Fields that are not named here are allowed and ignored, as Segment allows them.
"""

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from api.strict_json import TooDeepError
from experiments.errors import Invalid, Problem, TooLarge
from targeting.calls import (
    PAGE_EVENT,
    SCREEN_EVENT,
    AliasCall,
    Call,
    GroupCall,
    IdentifyCall,
    TrackCall,
)

MAX_CALLS: Final = 2500
MAX_CALL_BYTES: Final = 32 * 1024
MAX_BATCH_BYTES: Final = 500 * 1024
"""Segment's own bounds: calls in a batch, bytes of a single call, bytes of a batch."""

Id = str | int
Moment = Annotated[datetime, Meta(tz=True)]
Document = dict[str, Any]
_PAGE_FIELDS: Final = ("url", "path", "referrer", "title", "search")
_PLACE: Final = re.compile(r"^(?P<words>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")


class Context(Struct, frozen=True):
    """What is read of a call's `context`; a device says many other things, too."""

    locale: Any = None
    timezone: Any = None
    page: Any = None


class _Call(Struct, frozen=True, kw_only=True):
    messageId: Id | None = None  # noqa: N815  # Segment's names, here and below
    userId: Id | None = None  # noqa: N815
    anonymousId: Id | None = None  # noqa: N815
    timestamp: Moment | None = None
    originalTimestamp: Moment | None = None  # noqa: N815
    sentAt: Moment | None = None  # noqa: N815
    context: Context | None = None
    writeKey: str | None = None  # noqa: N815


class Track(_Call, frozen=True, kw_only=True):
    """Somebody did something."""

    event: str
    properties: Document | None = None


class Identify(_Call, frozen=True, kw_only=True):
    """What is known about somebody; merged into their attributes, null removes one."""

    traits: Document | None = None


class Page(_Call, frozen=True, kw_only=True):
    """Somebody saw a page."""

    name: str | None = None
    category: str | None = None
    properties: Document | None = None


class Screen(Page, frozen=True, kw_only=True):
    """Somebody saw a screen of an app."""


class Group(_Call, frozen=True, kw_only=True):
    """Somebody belongs to a company, a team, a household."""

    groupId: Id  # noqa: N815
    traits: Document | None = None


class Alias(_Call, frozen=True, kw_only=True):
    """`previousId` is `userId` from now on."""

    previousId: Id  # noqa: N815
    userId: Id  # noqa: N815


class _TrackItem(Track, frozen=True, kw_only=True, tag_field="type", tag="track"):
    pass


class _IdentifyItem(Identify, frozen=True, kw_only=True, tag_field="type", tag="identify"):
    pass


class _PageItem(Page, frozen=True, kw_only=True, tag_field="type", tag="page"):
    pass


class _ScreenItem(Screen, frozen=True, kw_only=True, tag_field="type", tag="screen"):
    pass


class _GroupItem(Group, frozen=True, kw_only=True, tag_field="type", tag="group"):
    pass


class _AliasItem(Alias, frozen=True, kw_only=True, tag_field="type", tag="alias"):
    pass


_Item = _TrackItem | _IdentifyItem | _PageItem | _ScreenItem | _GroupItem | _AliasItem


class Batch(Struct, frozen=True, kw_only=True):
    """Calls of any type, in their order."""

    batch: Annotated[list[_Item], Meta(max_length=MAX_CALLS)]
    sentAt: Moment | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815


class _RawBatch(Struct):
    batch: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Message:
    """A body that has been read: its calls still as their sender wrote them."""

    calls: Sequence[_Call]
    sent_at: datetime | None
    write_key: str | None
    in_batch: bool


def schemas(reference: str) -> dict[str, Any]:
    """JSON schemas of all bodies by name; `reference` is how one refers to another, with `{name}` in it."""
    bodies = (Track, Identify, Page, Screen, Group, Alias, Batch)
    found: dict[str, Any] = msgspec.json.schema_components(bodies, ref_template=reference)[1]
    return found


def read(body: bytes, kind: type[_Call] | type[Batch]) -> Message:
    """Read a body; raises Invalid naming every wrong field, and TooLarge."""
    limit = MAX_BATCH_BYTES if kind is Batch else MAX_CALL_BYTES
    if len(body) > limit:
        raise TooLarge(f"is {len(body)} bytes; at most {limit} are taken", field="body")
    try:
        found: _Call | Batch = _DECODERS[kind].decode(body)
    except msgspec.ValidationError as error:
        raise Invalid.of(_problems_of(body, error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"is not valid JSON: {error}", field="body") from error
    except RecursionError as error:
        deep = TooDeepError(body)
        raise Invalid(deep.msg, field=deep.path) from error
    if isinstance(found, Batch):
        key = found.writeKey or next((call.writeKey for call in found.batch if call.writeKey), None)
        return Message(found.batch, found.sentAt, key, in_batch=True)
    return Message((found,), None, found.writeKey, in_batch=False)


def calls_of(message: Message, *, now: datetime, new_id: Callable[[int], str] | None = None) -> list[Call]:
    """The calls of a body that arrived `now`; `new_id` makes the message id of a call that has none from its index.

    Raises Invalid for a time that no clock can have meant.
    """
    calls: list[Call] = []
    problems: list[Problem] = []
    for index, call in enumerate(message.calls):
        message_id = call.messageId
        if message_id is None:
            message_id = new_id(index) if new_id else str(uuid.uuid4())
        elif isinstance(message_id, int):
            message_id = str(message_id)
        try:
            at = _moment_of(call, message.sent_at, now)
        except OverflowError:
            path = f"batch[{index}]." if message.in_batch else ""
            problems.append(Problem(f"{path}timestamp", "is too far from sentAt to be a time"))
        else:
            calls.append(_MAKERS[type(call)](call, message_id, at))
    if problems:
        raise Invalid.of(problems)
    return calls


def _moment_of(call: _Call, sent_at: datetime | None, now: datetime) -> datetime:
    # Segment's rule: a device whose clock is wrong is wrong about both times by as much, so their difference is right.
    original = call.originalTimestamp or call.timestamp
    if original is None:
        return now
    sent_at = call.sentAt or sent_at
    return original if sent_at is None else now - (sent_at - original)


def _text(value: Id | None) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _track(call: Any, message_id: str, at: datetime) -> Call:
    return TrackCall(
        message_id, _text(call.userId), _text(call.anonymousId), call.event, at, call.properties or {}
    )


def _seen(event: str, call: Any, message_id: str, at: datetime) -> Call:
    page = call.context.page if call.context is not None else None
    page = page if isinstance(page, dict) and event == PAGE_EVENT else {}
    properties = {name: page[name] for name in _PAGE_FIELDS if name in page}
    properties |= {name: value for name in ("name", "category") if (value := getattr(call, name)) is not None}
    properties |= call.properties or {}
    return TrackCall(message_id, _text(call.userId), _text(call.anonymousId), event, at, properties)


def _identify(call: Any, message_id: str, at: datetime) -> Call:
    context = call.context or Context()
    return IdentifyCall(
        message_id=message_id,
        user_id=_text(call.userId),
        anonymous_id=_text(call.anonymousId),
        at=at,
        traits=call.traits or {},
        locale=context.locale if isinstance(context.locale, str) else None,
        time_zone=context.timezone if isinstance(context.timezone, str) else None,
    )


def _group(call: Any, message_id: str, at: datetime) -> Call:
    user_id, anonymous_id = _text(call.userId), _text(call.anonymousId)
    return GroupCall(message_id, user_id, anonymous_id, at, str(call.groupId), call.traits or {})


def _alias(call: Any, message_id: str, at: datetime) -> Call:
    return AliasCall(message_id, str(call.previousId), str(call.userId), at)


_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Track, Identify, Page, Screen, Group, Alias, Batch)
}
_ITEM: Final = msgspec.json.Decoder(_Item)
_MAKERS: Final[dict[type, Callable[[Any, str, datetime], Call]]] = {
    Track: _track,
    _TrackItem: _track,
    Identify: _identify,
    _IdentifyItem: _identify,
    Page: partial(_seen, PAGE_EVENT),
    _PageItem: partial(_seen, PAGE_EVENT),
    Screen: partial(_seen, SCREEN_EVENT),
    _ScreenItem: partial(_seen, SCREEN_EVENT),
    Group: _group,
    _GroupItem: _group,
    Alias: _alias,
    _AliasItem: _alias,
}


def _problems_of(body: bytes, error: msgspec.ValidationError) -> list[Problem]:
    """What is wrong, by field. The reader stops at the first wrong call of a batch, so each is read again by itself."""
    try:
        items = msgspec.json.decode(body, type=_RawBatch).batch[:MAX_CALLS]
    except (msgspec.MsgspecError, RecursionError):
        items = []
    problems = []
    for index, item in enumerate(items):
        try:
            _ITEM.decode(item)
        except msgspec.ValidationError as wrong:
            problems.append(_problem_of(str(wrong), f"batch[{index}]"))
    return problems or [_problem_of(str(error), "")]


def _problem_of(message: str, prefix: str) -> Problem:
    found = _PLACE.fullmatch(message)
    assert found is not None  # noqa: S101  # the expression takes any text
    words, path = found["words"], (found["path"] or "").replace("[...]", "")
    missing = _MISSING.fullmatch(words)
    if missing is not None:
        words, path = "is required", f"{path}.{missing[1]}" if path else missing[1]
    if prefix and path:
        path = f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}"
    return Problem(path or prefix or "body", words)
