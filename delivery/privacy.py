"""What belongs to a person, with what was sent to them: the copy of everything, and being forgotten.

The targeting floor knows the person; here come messages, clicks, and the webhooks that were kept as they came.
"""

from typing import Any, Final

from sqlmodel import Session

from delivery import privacy_repository as repository
from delivery.receipts.inbound_repository import SCOPED_ID, WA_ID
from experiments.clock import Clock
from targeting import privacy, tombstones, users
from targeting.privacy import Erased

ERASED: Final = "erased"
"""The reason of messages that were cancelled because their user was erased."""

_IN_WEBHOOKS: Final = frozenset({tombstones.PHONE, WA_ID, SCOPED_ID})


def export(session: Session, *, user_id: str) -> dict[str, Any]:
    """Everything we know of a user; raises NotFound."""
    known = privacy.export(session, user_id=user_id)
    pk = users.find(session, user_id=user_id).id or 0
    return known | {
        "messages": repository.messages_of(session, pk),
        "clicks": repository.clicks_of(session, pk),
    }


def erase(session: Session, clock: Clock, *, actor: str, user_id: str, secret: str) -> Erased:
    """Forget a user; raises NotFound, and Conflict for somebody who was erased already.

    What waits to be sent is cancelled. What is in flight at this moment ends as it will; its row knows no number.
    """
    erased = privacy.erase(session, clock, actor=actor, user_id=user_id, secret=secret)
    repository.forget_messages(session, erased.user_pk, reason=ERASED)
    # Digits only: a body writes the number without its plus sign.
    marks = {value.removeprefix("+") for kind, value in erased.names if kind in _IN_WEBHOOKS}
    repository.forget_bodies(session, marks)
    return erased
