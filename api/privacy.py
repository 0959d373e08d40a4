"""A person's own data through every floor: the answers that this floor remembers are forgotten with the rest."""

from typing import Any

from sqlmodel import Session

from api import repository
from delivery import privacy
from experiments.clock import Clock
from experiments.settings import Settings
from targeting.privacy import Erased


def export(session: Session, *, user_id: str) -> dict[str, Any]:
    """Everything we know of a user; raises NotFound."""
    return privacy.export(session, user_id=user_id)


def erase(session: Session, clock: Clock, *, settings: Settings, actor: str, user_id: str) -> Erased:
    """Forget a user for good; raises NotFound or Conflict."""
    secret = settings.erasure_secret.get_secret_value()
    erased = privacy.erase(session, clock, actor=actor, user_id=user_id, secret=secret)
    repository.forget_answers_about(session, {value for _, value in erased.names})
    return erased
