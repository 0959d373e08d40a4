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


Call = TrackCall | IdentifyCall


def _path_of(index: int, calls: Sequence[Call]) -> str:
    """What stands before the name of a field in an error: nothing for a single call."""
    return "" if len(calls) == 1 else f"batch[{index}]."


def check_calls(calls: Sequence[Call], *, now: datetime, default_region: str) -> list[ProfileChange | None]:
    """What each identify call changes (None for a track call). Raises Invalid with every wrong field of every call.

    The user id of a change is empty where the caller gave an anonymous id only.
    """
    changes: list[ProfileChange | None] = []
    problems: list[Problem] = []
    for index, call in enumerate(calls):
        path = _path_of(index, calls)
        try:
            _check_common(call, path, now)
            if isinstance(call, TrackCall):
                check_text(call.event, field=f"{path}event")
                check_document(call.properties, field=f"{path}properties")
                changes.append(None)
            else:
                changes.append(_read_traits(call, path, default_region))
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.of(problems)
    return changes


def _check_common(call: Call, path: str, now: datetime) -> None:
    check_text(call.message_id, field=f"{path}messageId")
    if call.user_id is not None:
        check_user_id(call.user_id, field=f"{path}userId")
    elif call.anonymous_id is None:
        raise Invalid("give a userId or an anonymousId", field=f"{path}userId")
    if call.anonymous_id is not None:
        check_text(call.anonymous_id, field=f"{path}anonymousId", limit=_MAX_ANONYMOUS_ID)
    if call.at.tzinfo is None:
        raise Invalid("has no time zone; add Z or an offset such as +01:00", field=f"{path}timestamp")
    if call.at < EPOCH:
        raise Invalid("is before 1970", field=f"{path}timestamp")
    if call.at > now + MAX_AHEAD:
        raise Invalid(f"is more than an hour after now, {format_moment(now)}", field=f"{path}timestamp")


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
