"""Content sources as settings say them: where a message may fetch content for a user, and what stands in for it."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from experiments.clock import parse_duration

USER_ID: Final = "{user_id}"
USER_IDS: Final = ":user_ids"
NAME_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
_MILLISECONDS: Final = re.compile(r"(\d{1,6})\s*ms")


def _read_duration(value: object) -> object:
    """Also milliseconds, which no other duration is as short as."""
    if not isinstance(value, str):
        return value
    found = _MILLISECONDS.fullmatch(value.strip())
    return timedelta(milliseconds=int(found[1])) if found else parse_duration(value)


_Duration = Annotated[timedelta, BeforeValidator(_read_duration)]


class ContentSource(BaseModel):
    """One source: an HTTP address (`url`), or a query of a database (`source`, a name in TOUCHSTONE_SOURCES).

    `{user_id}` in the address is the user's id, percent-encoded; `:user_ids` in the query stands for the ids of a batch, and
    the answer has a column `user_id`. `timeout` is for one request or query. `fallback` stands in when nothing comes in
    time, or nothing is known of the user; without one the message waits, or the value is missing. `ttl`: how long what
    came is used again for the same user.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = None
    headers: dict[str, SecretStr] = {}
    source: str | None = None
    query: str | None = Field(None, max_length=20_000)
    timeout: _Duration = Field(timedelta(milliseconds=500), gt=timedelta(0), le=timedelta(seconds=10))
    fallback: Any = None
    ttl: _Duration = Field(timedelta(0), ge=timedelta(0), le=timedelta(days=7))

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.url is None) == (self.source is None):
            raise ValueError("give `url`, or `source` with `query`")
        if self.url is None:
            if self.query is None or USER_IDS not in self.query:
                raise ValueError(f"`source` needs a `query` with `user_id IN {USER_IDS}`")
            if self.headers:
                raise ValueError("`headers` are for a `url`")
            return self
        if self.query is not None:
            raise ValueError("`query` is for a `source`")
        address = self.url.get_secret_value()
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("`url` is not an http or https address")
        if USER_ID in parts.netloc:
            raise ValueError("a user id may not say which host is asked")
        return self

    @property
    def has_fallback(self) -> bool:
        """Whether one was given; it may be null."""
        return "fallback" in self.model_fields_set

    @property
    def is_personal(self) -> bool:
        """Whether each user has an answer of their own."""
        return self.url is None or USER_ID in self.url.get_secret_value()
