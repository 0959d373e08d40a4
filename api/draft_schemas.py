"""What travels over HTTP about campaigns that are being written."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from experiments.models import CampaignDraft


class DraftRequest(BaseModel):
    """`document` need not be a whole campaign."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document: dict[str, Any]
    revision: int | None = Field(
        None,
        ge=0,
        strict=True,
        description="That of the draft which was seen (0: none); a save by somebody else in between is then not written over",
    )


class DraftAnswer(BaseModel):
    """A draft without its document. `name` is what the document says, empty where it says none."""

    model_config = ConfigDict(frozen=True)

    key: str
    name: str
    revision: int
    updated_by: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, draft: CampaignDraft) -> Self:
        return cls(**_facts(draft))


class WholeDraftAnswer(DraftAnswer):
    """A draft with its document, as it was saved."""

    document: dict[str, Any]

    @classmethod
    def of(cls, draft: CampaignDraft) -> Self:
        return cls(**_facts(draft), document=draft.document)


def _facts(draft: CampaignDraft) -> dict[str, Any]:
    name = draft.document.get("name")
    return {
        "key": draft.key,
        "name": name[:200] if isinstance(name, str) else "",
        "revision": draft.revision,
        "updated_by": draft.updated_by,
        "created_at": draft.created_at,
        "updated_at": draft.updated_at,
    }
