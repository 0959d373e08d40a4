"""Members, sessions, keys and the audit log, as they travel over HTTP."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from api.models import Member
from experiments.vocabulary import Role, Scope


class TeamMemberRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    disabled: bool = Field(False, description="May not sign in, but stays on the list")


class TeamMemberAnswer(BaseModel):
    model_config = ConfigDict(frozen=True)

    email: str
    role: Role
    disabled: bool
    created_at: datetime
    updated_at: datetime
    signed_in_at: datetime | None = Field(description="When they last signed in")

    @classmethod
    def of(cls, member: Member) -> "TeamMemberAnswer":
        return cls.model_validate(member, from_attributes=True)


class SessionRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id_token: str = Field(
        min_length=1, max_length=20_000, description="The ID token that the issuer has just given"
    )


class SessionAnswer(BaseModel):
    """`key` is shown this once; it is used as any API key is, until `expires_at`."""

    model_config = ConfigDict(frozen=True)

    key: str
    email: str
    role: Role
    scopes: list[Scope]
    expires_at: datetime
