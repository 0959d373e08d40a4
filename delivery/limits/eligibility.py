"""When somebody may next be written to: the answer that a reservation would come to, without taking a slot."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from delivery.limits import ledger_repository, policy
from delivery.limits.circumstances import look_at, tier_of
from delivery.limits.reservation import CONSENT, NO_PHONE
from delivery.limits.standing import first_allowed
from delivery.outbox import dispatch_repository
from experiments.clock import Clock
from experiments.errors import NotFound
from experiments.settings import Settings
from experiments.treatments import Variant


@dataclass(frozen=True, slots=True)
class Eligibility:
    """`at`: the first moment at which a message is allowed; None: never, as things stand. `reason`: the rule that comes last,
    None when it is allowed now. `rules`: what each rule that applies says by itself (None: never).
    """

    at: datetime | None
    reason: str | None
    rules: tuple[tuple[str, datetime | None], ...]


def next_eligible_at(
    session: Session,
    clock: Clock,
    *,
    user_pk: int,
    category: str,
    settings: Settings,
    experiment_id: int | None = None,
    variant: Variant | None = None,
) -> Eligibility:
    """The first moment from now on at which a message of `category` may go to a user, exact to the microsecond: at no earlier
    one would it be allowed, and then it is, under the ledger, the policy and the signals as they stand.

    With `experiment_id` and `variant`, also under the frequency of that variant. A message in flight counts until it is given
    up. Fuses and paused experiments are no matter of the user and are not looked at. Raises NotFound.
    """
    person = ledger_repository.person(session, user_pk)
    if person is None:
        raise NotFound(f"there is no user {user_pk}", field="user")
    now = clock.now()
    if (user_pk, category) not in dispatch_repository.consented(session, [user_pk]):
        return Eligibility(None, CONSENT, ((CONSENT, None),))
    if person.phone is None:
        return Eligibility(None, NO_PHONE, ((NO_PHONE, None),))
    obeyed = policy.current(session, settings)
    frequency = variant.frequency if variant is not None else None
    circumstances = look_at(
        session,
        policy=obeyed,
        limit=tier_of(session, obeyed, settings),
        user_pks=[user_pk],
        frequencies=[] if frequency is None else [frequency],
        settings=settings,
        now=now,
    )
    busy = (slot.busy_until for slot in circumstances.slots.get(user_pk, ()) if slot.busy_until is not None)
    standing = circumstances.standing(
        user_pk,
        person,
        category=category,
        experiment_id=experiment_id,
        frequency=frequency,
        busy_until=max(busy, default=None),
    )
    verdict = first_allowed(standing, now)
    return Eligibility(
        verdict.at,
        None if verdict.reason is None else str(verdict.reason),
        tuple((str(rule), at) for rule, at in verdict.rules),
    )
