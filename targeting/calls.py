"""Calls of the tracking API as values, and what is checked before any of them is stored. Pure.

The fields are named in errors as the Segment HTTP API writes them, because that is what the sender wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from experiments.clock import EPOCH, format_moment
from experiments.errors import Invalid, Problem
from targeting.profile import (
    ANONYMOUS_PREFIX,
    MAX_ID_LENGTH,
    check_document,
    check_locale,
    check_text,
    check_time_zone,
    check_user_id,
    normalise_phone,
)
from targeting.roster import ProfileChange

MAX_AHEAD: Final = timedelta(hours=1)
"""How far a sender's clock may run ahead of ours."""
PAGE_EVENT: Final = "Page Viewed"
SCREEN_EVENT: Final = "Screen Viewed"
GROUP_ID: Final = "group_id"
GROUP_TRAITS: Final = "group"
"""Attributes of a user that hold the id and the traits of the group that they belong to."""
_MAX_ANONYMOUS_ID: Final = MAX_ID_LENGTH - len(ANONYMOUS_PREFIX)
_TIME_ZONE_TRAITS: Final = ("timezone", "timeZone", "time_zone")
_OWN_COLUMNS: Final = frozenset({"phone", "locale", *_TIME_ZONE_TRAITS})


@dataclass(frozen=True, slots=True)
class TrackCall:
    """Somebody did something. At least one of `user_id` and `anonymous_id` is given; `at` is aware."""

    message_id: str
    user_id: str | None
    anonymous_id: str | None
    event: str
    at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IdentifyCall:
    """Who somebody is. `locale` and `time_zone` are the device's (the call's context); traits of that name go first."""

    message_id: str
    user_id: str | None
    anonymous_id: str | None
    at: datetime
    traits: Mapping[str, Any] = field(default_factory=dict)
    locale: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True)
class GroupCall:
    """Which company, team or household somebody belongs to; a newer one replaces it."""

    message_id: str
    user_id: str | None
    anonymous_id: str | None
    at: datetime
    group_id: str
    traits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AliasCall:
    """`previous_id`, an anonymous id or a user's former id, is `user_id` from now on."""

    message_id: str
    previous_id: str
    user_id: str
    at: datetime

    @property
    def anonymous_id(self) -> None:
        """Nobody acts under an anonymous id here: `previous_id` may be one, or may not."""


Call = TrackCall | IdentifyCall | GroupCall | AliasCall


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call that may be stored: what it changes of a profile (its user id is filled in later), its properties as JSON."""

    call: Call
    change: ProfileChange | None = None
    properties: str = "{}"


def check_calls(
    calls: Sequence[Call], *, now: datetime, default_region: str, in_batch: bool = True
) -> list[CheckedCall]:
    """Every call, checked. Raises Invalid with every wrong field of every call, `batch[i].` before its name if `in_batch`."""
    checked: list[CheckedCall] = []
    problems: list[Problem] = []
    latest = now + MAX_AHEAD
    for index, call in enumerate(calls):
        path = f"batch[{index}]." if in_batch else ""
        try:
            checked.append(_check(call, path, now, latest, default_region))
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.of(problems)
    return checked


def _check(call: Call, path: str, now: datetime, latest: datetime, default_region: str) -> CheckedCall:
    check_text(call.message_id, field=f"{path}messageId")
    if call.user_id is not None:
        check_user_id(call.user_id, field=f"{path}userId")
    elif call.anonymous_id is None:
        raise Invalid("give a userId or an anonymousId", field=f"{path}userId")
    if call.anonymous_id is not None:
        check_text(call.anonymous_id, field=f"{path}anonymousId", limit=_MAX_ANONYMOUS_ID)
    _check_time(call.at, f"{path}timestamp", now, latest)
    if isinstance(call, TrackCall):
        check_text(call.event, field=f"{path}event")
        return CheckedCall(call, None, check_document(call.properties, field=f"{path}properties"))
    if isinstance(call, IdentifyCall):
        return CheckedCall(call, _read_traits(call, path, default_region))
    if isinstance(call, GroupCall):
        return CheckedCall(call, _read_group(call, path))
    check_text(call.previous_id, field=f"{path}previousId", limit=_MAX_ANONYMOUS_ID)
    check_user_id(call.previous_id, field=f"{path}previousId")
    return CheckedCall(call)


def _check_time(at: datetime, field: str, now: datetime, latest: datetime) -> None:
    if at.tzinfo is None:
        raise Invalid("has no time zone; add Z or an offset such as +01:00", field=field)
    if at < EPOCH:
        raise Invalid("is before 1970", field=field)
    if at > latest:
        raise Invalid(f"is more than an hour after now, {format_moment(now)}", field=field)


def _read_traits(call: IdentifyCall, path: str, default_region: str) -> ProfileChange:
    traits = call.traits
    check_document(traits, field=f"{path}traits")
    phone, phone_field = traits.get("phone"), f"{path}traits.phone"
    if phone is not None:
        if not isinstance(phone, str):
            raise Invalid("is not text; write it such as +12025550123", field=phone_field)
        phone = (
            normalise_phone(phone, default_region=default_region, field=phone_field)
            if phone.strip()
            else None
        )
    return ProfileChange(
        user_id=call.user_id or "",
        phone=phone,
        time_zone=_read_time_zone(call, path),
        locale=_read_locale(call, path),
        attributes={name: value for name, value in traits.items() if name not in _OWN_COLUMNS},
        phone_field=phone_field,
        attributes_field=f"{path}traits",
    )


def _read_group(call: GroupCall, path: str) -> ProfileChange:
    check_text(call.group_id, field=f"{path}groupId")
    check_document(call.traits, field=f"{path}traits")
    return ProfileChange(
        user_id=call.user_id or "",
        attributes={GROUP_ID: call.group_id, GROUP_TRAITS: dict(call.traits)},
        attributes_field=f"{path}traits",
    )


def _read_time_zone(call: IdentifyCall, path: str) -> str | None:
    for name in _TIME_ZONE_TRAITS:
        value = call.traits.get(name)
        if value is not None:
            return check_time_zone(str(value), field=f"{path}traits.{name}")
    return _if_valid(check_time_zone, call.time_zone)


def _read_locale(call: IdentifyCall, path: str) -> str | None:
    value = call.traits.get("locale")
    if value is not None:
        return check_locale(str(value), field=f"{path}traits.locale")
    return _if_valid(check_locale, call.locale)


def _if_valid(check: Any, value: str | None) -> str | None:
    # A device's own description of itself is a hint: a strange one is no reason to refuse what its user told us.
    try:
        return None if value is None else str(check(value))
    except Invalid:
        return None
