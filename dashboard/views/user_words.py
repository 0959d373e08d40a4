"""What is said of a user in a few words, wherever they are shown."""

from zoneinfo import ZoneInfo

from dashboard import formats, viewer
from dashboard.calls.users import User
from dashboard.texts import say, told


def phone_words(user: User) -> str:
    """The number, that there is one which this key may not see, or that there is none."""
    return user.phone or say("users.has_phone" if user.has_phone else "users.no_phone")


def zone_words(user: User) -> str:
    """The user's own zone with the time that it is there."""
    zone = own_zone(user)
    if zone is None:
        return formats.UNKNOWN
    return say("users.own_time", zone=user.time_zone, time=f"{viewer.now().astimezone(zone):%H:%M}")


def own_zone(user: User) -> ZoneInfo | None:
    """The user's own zone; None when it is not known, or not known here."""
    try:
        return ZoneInfo(user.time_zone) if user.time_zone else None
    except (KeyError, ValueError, OSError):
        return None


def consent_words(user: User) -> str:
    said = [
        say("users.agreed" if granted else "users.refused", category=told("common.category", name))
        for name, granted, _ in user.consents
    ]
    return "; ".join(said) or say("users.no_consent")
