"""What travels over HTTP about the delivery policy, beside the policy itself."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from delivery.models import PolicyVersion


class PolicyVersionAnswer(BaseModel):
    """What the policy said from `at` on, and who made it say so."""

    model_config = ConfigDict(frozen=True)

    version: int
    policy: dict[str, Any]
    actor: str
    at: datetime

    @classmethod
    def of(cls, row: PolicyVersion) -> Self:
        assert row.id is not None  # noqa: S101  # a stored row has an id
        return cls(version=row.id, policy=row.document, actor=row.actor, at=row.at)
