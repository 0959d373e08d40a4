"""SQL of the ledger: which slots users have taken, what they did with their messages, and who waits for a slot."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlmodel import col

from delivery.caps import windows
from delivery.models import Message
from delivery.policy import DeliveryPolicy
from targeting.models import User


def at_cap(policy: DeliveryPolicy, *, category: str, now: datetime) -> ColumnElement[bool]:
    """Whether a row of `users` has no room for one more message under the rolling caps, without their adaptation.

    The SQL twin of `caps.free_at(..) > now`, for deciding who may enrol.
    """

    def is_full(cap: int, window: timedelta) -> ColumnElement[bool]:
        taken = (
            select(func.count())
            .select_from(Message)
            .where(
                col(Message.user_pk) == col(User.id),
                col(Message.slot_at) > now - window,
                col(Message.category) == category,
            )
            .correlate(User)
            .scalar_subquery()
        )
        return taken >= cap

    limits = windows(policy.caps(category))
    return or_(false(), *(is_full(limit.count, limit.window) for limit in limits))
