"""Settings: environment variables with the prefix `TOUCHSTONE_`, read in this file only."""

import ipaddress
import json
import re
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from experiments.clock import parse_duration
from experiments.content_settings import NAME_PATTERN, ContentSource
from experiments.errors import Invalid, Problem, Refused

MEGABYTE = 1_000_000
_SPAN = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
WEAK_TOMBSTONES = "who was erased could be found out by trying phone numbers: set TOUCHSTONE_ERASURE_SECRET before the first erasure"


class Settings(BaseSettings):
    """Every setting, its default and its meaning. `docs/settings.md` is checked against this class."""

    model_config = SettingsConfigDict(env_prefix="TOUCHSTONE_", extra="ignore", frozen=True)

    database_url: str = Field(
        "sqlite:///touchstone.db", description="SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://.."
    )
    facts_url: str | None = Field(
        None,
        description="Where analysis reads its facts: duckdb:///FOLDER, spark:///FOLDER or a replica; the application database when unset",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000", description="The address under which this API is reached from outside"
    )
    cors_origins: str = Field(
        "*",
        description="Origins of pages that may evaluate in a browser, separated by commas; * is all, empty none",
    )
    api_url: str = Field(
        "http://127.0.0.1:8000", description="The address at which the dashboard finds the API"
    )

    oidc_issuer: str = Field(
        "", description="Who vouches for people that sign in with an account (OpenID Connect); empty: nobody"
    )
    oidc_audience: str = Field(
        "", validate_default=True, description="The client id under which the issuer knows the dashboard"
    )
    oidc_emails_verified: bool = Field(
        False,
        description="Believe the addresses of an issuer that never says whether it has verified them; see docs/dashboard.md",
    )
    session_lifetime: Annotated[timedelta, NoDecode] = Field(
        timedelta(hours=12), gt=timedelta(0), description="How long somebody stays signed in with an account"
    )

    whatsapp_url: str = Field(
        "https://graph.facebook.com", description="The Graph API, or a simulator on loopback"
    )
    whatsapp_version: str = Field(
        "v26.0", description="Version of the Graph API, the first part of its paths"
    )
    whatsapp_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of the WhatsApp Business account"
    )
    whatsapp_phone_number_id: str = Field("", description="Id of the number that messages are sent from")
    whatsapp_business_account_id: str = Field(
        "", description="Id of the WhatsApp Business account whose templates are synchronised"
    )
    whatsapp_app_secret: SecretStr = Field(SecretStr(""), description="Signs the webhooks that we receive")
    whatsapp_verify_token: SecretStr = Field(SecretStr(""), description="Answers the webhook handshake")
    whatsapp_loopback_only: bool = Field(
        False, description="Refuse a WhatsApp URL that is not on this machine (demo, tests)"
    )

    cap_day: int | None = Field(
        None, ge=0, le=10_000, description="Marketing messages a user may get in any 24 hours"
    )
    cap_week: int | None = Field(
        3, ge=0, le=10_000, description="Marketing messages a user may get in any 7 days"
    )
    cap_month: int | None = Field(
        None, ge=0, le=10_000, description="Marketing messages a user may get in any 30 days"
    )
    cap_interval: Annotated[timedelta | None, NoDecode] = Field(
        None, gt=timedelta(0), description="Shortest time between two marketing messages to a user"
    )
    quiet_hours: str = Field(
        "", description="When no marketing goes out, on each user's own clock: 21:00-08:00; empty: never"
    )
    global_holdout: float = Field(
        0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of users kept out of all marketing experiments",
    )
    unknown_after: Annotated[timedelta, NoDecode] = Field(
        timedelta(hours=24),
        description="How long an in-flight message waits for a status before it ends as unknown",
    )
    lease: Annotated[timedelta, NoDecode] = Field(
        timedelta(minutes=5), description="How long a worker may hold a claimed message"
    )
    message_ttl: Annotated[timedelta, NoDecode] = Field(
        timedelta(days=7), description="How long after its first due time a deferred message may still go out"
    )
    dispatch_batch: int = Field(200, ge=1, le=1000, description="Messages claimed and committed at a time")
    dispatch_concurrency: int = Field(64, ge=1, le=1000, description="POSTs under way at once")
    messages_per_second: int = Field(80, ge=1, le=1000, description="Throughput of the number")
    max_tries: int = Field(3, ge=1, le=10, description="Tries for errors that may be tried again")

    erasure_secret: SecretStr = Field(
        SecretStr(""),
        description="Keys the digests that keep erased people from coming back; never change it",
    )
    stop_words: dict[str, list[str]] = Field(
        default_factory=dict,
        description='STOP words beside the built-in ones, by language, as JSON: {"sv": ["sluta skicka"]}',
    )

    coupon_secret: SecretStr = Field(SecretStr(""), description="Makes coupon codes unguessable")
    default_region: str = Field(
        "", description="Country of phone numbers written without +, such as NL; empty: refuse them"
    )
    sources: Annotated[dict[str, SecretStr], NoDecode] = Field(
        default_factory=dict,
        description='Databases that pulls may read: a JSON object {"NAME": "SQLAlchemy URL"}',
    )
    source_timeout: Annotated[timedelta, NoDecode] = Field(
        timedelta(minutes=5), description="How long a source may think about one statement of a pull"
    )
    content: Annotated[dict[Annotated[str, Field(pattern=NAME_PATTERN)], ContentSource], NoDecode] = Field(
        default_factory=dict,
        description="Where messages fetch content for a user, as JSON by name; see docs/templates.md",
    )
    max_upload_bytes: int = Field(
        512 * MEGABYTE, ge=1, description="Largest import by HTTP; larger files go by command line"
    )
    max_upload_rows: int = Field(5_000_000, ge=1, description="Most rows in one import")
    max_body_bytes: int = Field(1 * MEGABYTE, ge=1000, description="Largest body of any other request")
    segments_every: Annotated[timedelta, NoDecode] = Field(
        timedelta(hours=1), description="How old the membership of a condition segment may become"
    )
    tick: Annotated[timedelta, NoDecode] = Field(
        timedelta(seconds=5), description="How often the scheduler's jobs run"
    )

    @field_validator("cap_day", "cap_week", "cap_month", "cap_interval", mode="before")
    @classmethod
    def _empty_is_no_bound(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str) -> str:
        if value and not is_secret_on_its_way(value):
            raise ValueError("write https://.. (http:// only for this machine), as the issuer itself does")
        return value

    @field_validator("oidc_audience")
    @classmethod
    def _has_an_issuer(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("oidc_issuer", value)):
            raise ValueError(
                "TOUCHSTONE_OIDC_ISSUER and TOUCHSTONE_OIDC_AUDIENCE are set together, or neither"
            )
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _is_a_span(cls, value: str) -> str:
        start, _, end = value.partition("-")
        if value and (_SPAN.fullmatch(value) is None or start == end):
            raise ValueError("write two times of day, such as 21:00-08:00")
        return value

    @field_validator(
        "cap_interval",
        "unknown_after",
        "lease",
        "message_ttl",
        "source_timeout",
        "segments_every",
        "session_lifetime",
        "tick",
        mode="before",
    )
    @classmethod
    def _read_duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @field_validator("sources", mode="before")
    @classmethod
    def _read_sources(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            found = json.loads(value)
        except ValueError:
            # Not a word of it goes into the error: it holds passwords.
            raise ValueError('is not a JSON object such as {"crm": "postgresql://.."}') from None
        if not isinstance(found, dict) or not all(isinstance(url, str) and url for url in found.values()):
            raise ValueError('is not a JSON object such as {"crm": "postgresql://.."}')
        return found

    @field_validator("content", mode="before")
    @classmethod
    def _read_content(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            # Not a word of it goes into the error: it holds keys and tokens.
            raise ValueError('is not a JSON object such as {"news": {"url": "https://.."}}') from None

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:", "postgresql")):
            raise ValueError("use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME")
        if value.startswith("postgresql://"):
            return "postgresql+psycopg://" + value.removeprefix("postgresql://")
        return value

    @field_validator("content")
    @classmethod
    def _known_source(cls, value: dict[str, ContentSource], info: ValidationInfo) -> dict[str, ContentSource]:
        known = info.data.get("sources", {})
        unknown = {each.source for each in value.values() if each.source is not None} - set(known)
        if unknown:
            raise ValueError(f"TOUCHSTONE_SOURCES has no {', '.join(sorted(unknown))}")
        return value

    @classmethod
    def from_environment(cls, **overrides: object) -> Self:
        """The settings of this process; raises Invalid naming the variable that is wrong."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise Invalid.of(
                [
                    Problem(
                        "TOUCHSTONE_" + "_".join(str(part) for part in item["loc"]).upper(),
                        item["msg"].removeprefix("Value error, "),
                    )
                    for item in error.errors()
                ]
            ) from error

    def advice(self) -> list[str]:
        """What these settings leave undone, one line each; nothing of it keeps a process from starting."""
        lines = []
        if not self.whatsapp_phone_number_id or not self.whatsapp_token.get_secret_value():
            lines.append(
                "nothing will be sent: set TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID and TOUCHSTONE_WHATSAPP_TOKEN"
            )
        elif not self.whatsapp_app_secret.get_secret_value():
            lines.append(
                "every webhook will be refused, so nothing ever counts as delivered: set TOUCHSTONE_WHATSAPP_APP_SECRET"
            )
        if not self.erasure_secret.get_secret_value():
            lines.append(WEAK_TOMBSTONES)
        return lines

    def check_whatsapp(self) -> None:
        """Raise Refused or Invalid, naming the variable, unless messages can be sent with these settings."""
        if self.whatsapp_loopback_only and not is_loopback(self.whatsapp_url):
            raise Refused(
                f"TOUCHSTONE_WHATSAPP_URL is {self.whatsapp_url}, which is not this machine; "
                "the demo and the tests speak to a simulator on 127.0.0.1 only"
            )
        if not self.whatsapp_phone_number_id or not self.whatsapp_token.get_secret_value():
            raise Invalid(
                "is not set, so nothing can be sent; see docs/settings.md",
                field="TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID"
                if not self.whatsapp_phone_number_id
                else "TOUCHSTONE_WHATSAPP_TOKEN",
            )


def is_secret_on_its_way(url: str) -> bool:
    """Whether nobody on the network can read or change what `url` answers.

    >>> is_secret_on_its_way("https://id.example.com"), is_secret_on_its_way("http://id.example.com")
    (True, False)
    """
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Whether the host of `url` is this machine.

    >>> is_loopback("http://127.0.0.1:9000"), is_loopback("https://graph.facebook.com")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
