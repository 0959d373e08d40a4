"""Tables of access: members, API keys and remembered answers to writes."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


class Member(SQLModel, table=True):
    """A person who may sign in with an account. `email` is as `members.read_email` gives it."""

    __tablename__ = "members"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    email: str = Field(max_length=190, unique=True)
    role: str = Field(max_length=10)
    disabled: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    signed_in_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """A key is shown once, when it is made; only `prefix` (to find it) and the SHA-256 of the secret are stored.

    `member` is the e-mail of whom a session belongs to; null for a key that was made by hand, and then nothing expires.
    """

    __tablename__ = "api_keys"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    name: str = Field(max_length=200)
    prefix: str = Field(max_length=16, unique=True)
    secret_hash: str = Field(max_length=64)
    scopes: list[str] = Field(sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    member: str | None = Field(default=None, max_length=190, index=True)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RememberedAnswer(SQLModel, table=True):
    """The answer to a write that came with an `Idempotency-Key`. `status` is null while the write is under way; one that takes long moves
    `started_at` on.
    """

    __tablename__ = "remembered_answers"

    api_key_id: int = Field(primary_key=True, sa_type=BigKey)
    idempotency_key: str = Field(primary_key=True, max_length=200)
    fingerprint: str = Field(max_length=64)
    started_at: datetime = Field(sa_type=UtcDateTime)
    status: int | None = None
    media_type: str | None = Field(default=None, max_length=100)
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
