"""Tables of access: API keys and remembered answers to writes."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel

from experiments.database import BigKey, JsonDocument, UtcDateTime


class ApiKey(SQLModel, table=True):
    """A key is shown once, when it is made; only `prefix` (to find it) and the SHA-256 of the secret are stored."""

    __tablename__ = "api_keys"

    id: int | None = Field(default=None, sa_column=Column(BigKey, primary_key=True))
    name: str = Field(max_length=200)
    prefix: str = Field(max_length=16, unique=True)
    secret_hash: str = Field(max_length=64)
    scopes: list[str] = Field(sa_type=JsonDocument)
    created_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RememberedAnswer(SQLModel, table=True):
    """The answer to a write that came with an `Idempotency-Key`. `status` is null while the write is under way."""

    __tablename__ = "remembered_answers"

    api_key_id: int = Field(primary_key=True, sa_type=BigKey)
    idempotency_key: str = Field(primary_key=True, max_length=200)
    fingerprint: str = Field(max_length=64)
    started_at: datetime = Field(sa_type=UtcDateTime)
    status: int | None = None
    media_type: str | None = Field(default=None, max_length=100)
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
