"""The parameters of one message as text: what a template says about `user`, `coupon`, `experiment`, `variant`, `now`.

`user` has the user's attributes and `user_id`; the phone number is not among them. `experiment` and `variant` are
keys, `now` is the time on the user's own clock. A value that is missing or null is an error that names it, so that
nobody is ever greeted as "None"; a template that can do without writes `{{ user.first_name | default("you") }}`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError

from delivery.schedule import zone_of
from experiments.content import environment
from experiments.errors import Invalid
from experiments.treatments import MessageContent

MAX_LENGTH: Final = 1024
"""Longest text of a parameter; WhatsApp's bound for the whole body of a template."""

COUPON_LENGTH: Final = 10

# WhatsApp refuses parameters with line breaks, tabs or more than four spaces in a row (error 132000 and kin).
_BREAKS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_READABLE: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"ABCDEFGH9JKLMN8PQRSTUVWXYZ234567")


def render(
    message: MessageContent,
    *,
    user_id: str,
    attributes: Mapping[str, Any],
    time_zone: str | None,
    experiment: str,
    variant: str,
    now: datetime,
    coupon_secret: str = "",
) -> tuple[str, ...]:
    """The text of each parameter, in order; raises Invalid with the field `parameters[j]`, naming the variable."""
    context = {
        "user": _Fields({**attributes, "user_id": user_id}, path="user"),
        "coupon": coupon(experiment=experiment, user_id=user_id, secret=coupon_secret),
        "experiment": experiment,
        "variant": variant,
        "now": now.astimezone(zone_of(time_zone)),
    }
    return tuple(
        _render(source, context, field=f"parameters[{j}]") for j, source in enumerate(message.parameters)
    )


def coupon(*, experiment: str, user_id: str, secret: str = "") -> str:
    """A user's code in an experiment: 10 letters and digits (50 bits of HMAC-SHA256), the same each time it is asked for.

    Letters that look like digits (I, O) are avoided. With a `secret` nobody can work out another user's code;
    without one, whoever knows the experiment's key and a user id can, so the shop must check whose code it is.

    >>> coupon(experiment="spring-wakeup", user_id="u1") == coupon(experiment="spring-wakeup", user_id="u1")
    True
    """
    digest = hmac.digest(secret.encode(), f"{experiment}\x00{user_id}".encode(), hashlib.sha256)
    return base64.b32encode(digest).translate(_READABLE)[:COUPON_LENGTH].decode()


class _Missing(StrictUndefined):
    """A value that is not there: an error wherever it is used, but `{% if user.first_name %}` may ask for it."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # there it is an error too
        return False


class _Fields:
    """A record that a template can read by attribute or item, and that names what is missing.

    Not a dict, because `{{ user.items }}` must be the attribute "items" and not a method of dict.
    """

    __slots__ = ("_path", "_values")

    def __init__(self, values: Mapping[str, Any], *, path: str) -> None:
        self._values = values
        self._path = path

    def __getitem__(self, name: str) -> Any:
        value = self._values.get(name)
        path = f"{self._path}.{name}"
        if value is None:
            return _Missing(hint=f"{path} is missing")
        return _Fields(value, path=path) if isinstance(value, Mapping) else value

    def __iter__(self) -> Iterator[str]:
        raise Invalid(f"{self._path} is a record; name one of its fields")

    def __str__(self) -> str:
        raise Invalid(f"{self._path} is a record; name one of its fields")


@lru_cache(maxsize=4096)
def _compiled(source: str) -> Template:
    return environment().from_string(source)


def _render(source: str, context: Mapping[str, Any], *, field: str) -> str:
    try:
        text = _BREAKS.sub(" ", _compiled(source).render(context)).strip()
        text.encode()
    except Invalid as error:
        raise Invalid(error.message, field=field) from error
    except TemplateError as error:
        raise Invalid(error.message or type(error).__name__, field=field) from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise Invalid(f"cannot be rendered: {error}", field=field) from error
    if not text:
        raise Invalid(
            f"is empty for this user; WhatsApp refuses an empty parameter ({source!r})", field=field
        )
    if len(text) > MAX_LENGTH:
        raise Invalid(
            f"is {len(text)} characters long for this user; WhatsApp takes {MAX_LENGTH}", field=field
        )
    return text
