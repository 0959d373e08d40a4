"""Campaigns that are being written: kept as they are, whole or not, until they are stored as experiments or thrown away.

Nothing acts on a draft, so saves are not in the audit log: a page saves at every keystroke that it hears of.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session

from experiments import repository
from experiments.clock import Clock
from experiments.errors import Conflict, NotFound
from experiments.models import CampaignDraft


def save(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    document: Mapping[str, Any],
    revision: int | None = None,
) -> CampaignDraft:
    """Keep `document` under `key`.

    revision: that of the draft which the writer has seen, 0 for none; None: write over whatever is there. Raises Conflict
    when somebody else has saved since.
    """
    now = clock.now()
    draft = repository.find_draft(session, key, for_update=True)
    if revision is not None and revision != (draft.revision if draft else 0):
        raise Conflict(_words(key, draft), field="revision")
    if draft is None:
        draft = CampaignDraft(
            key=key,
            document=dict(document),
            revision=1,
            updated_by=actor,
            created_at=now,
            updated_at=now,
        )
        session.add(draft)
    else:
        draft.document, draft.updated_by, draft.updated_at = dict(document), actor, now
        draft.revision += 1
    session.flush()
    return draft


def find(session: Session, *, key: str) -> CampaignDraft:
    """Raises NotFound."""
    draft = repository.find_draft(session, key)
    if draft is None:
        raise NotFound(f"there is no draft {key!r}", field="key")
    return draft


def list_drafts(
    session: Session, *, before_id: int | None, limit: int, search: str = ""
) -> Sequence[CampaignDraft]:
    """The newest first, of those with `search` in the key or the name."""
    return repository.list_drafts(session, before_id=before_id, limit=limit, search=search)


def forget(session: Session, *, key: str) -> None:
    """Throw a draft away. Raises NotFound."""
    session.delete(find(session, key=key))


def _words(key: str, draft: CampaignDraft | None) -> str:
    if draft is None:
        return f"the draft {key!r} is gone: somebody has thrown it away, or stored it as an experiment"
    return f"{draft.updated_by} has saved the draft {key!r} since; open it again to see how"
