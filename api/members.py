"""Members: the people who may sign in with an account, each with a role; and the sessions that they get."""

import re
import string
from datetime import timedelta
from typing import Any, Final

from sqlmodel import Session

from api import repository, security
from api.models import ApiKey, Member
from experiments import audit
from experiments.clock import Clock
from experiments.errors import Conflict, Invalid, NotFound, Refused
from experiments.vocabulary import Role, Scope

SCOPES: Final[dict[Role, Scope]] = {
    Role.READER: Scope.READ,
    Role.EDITOR: Scope.WRITE,
    Role.ADMIN: Scope.ADMIN,
}
"""What each role may do."""
SESSIONS_KEPT: Final = timedelta(days=7)
"""How long the row of a session outlives it: longer than answers to its writes are remembered under its id."""
MOST_LETTERS: Final = 190
_SMALL: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_EMAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+")


def read_email(text: str) -> str:
    """The e-mail as it is kept, the letters of ASCII in small ones; raises Invalid.

    Others stay: among all letters there are two that become one (the sign of Kelvin is a small k), and whom an issuer knows by the
    one address must not come in as the member of the other.

    >>> read_email(" Ada@Example.com ")
    'ada@example.com'
    """
    email = text.strip().translate(_SMALL)
    if len(email) > MOST_LETTERS or _EMAIL.fullmatch(email) is None:
        raise Invalid(f"is not an e-mail of at most {MOST_LETTERS} letters", field="email")
    return email


def find_member(session: Session, *, email: str, to_change: bool = False) -> Member:
    """Raises NotFound."""
    member = repository.find_member(session, read_email(email), to_change=to_change)
    if member is None:
        raise NotFound(f"{email} is not a member", field="email")
    return member


def put_member(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    email: str,
    role: Role,
    disabled: bool = False,
    acting: str | None = None,
) -> Member:
    """Add a person or change what they may do; what they are signed in with ends at once when anything changes.

    `acting` is the e-mail of the member who asks: nobody changes themselves (Conflict), since an admin who does so by mistake
    could not undo it.
    """
    email, now = read_email(email), clock.now()
    member = repository.find_member(session, email, to_change=True)
    if member is None:
        member = Member(email=email, role=role, disabled=disabled, created_at=now, updated_at=now)
        session.add(member)
        session.flush()
        _note(session, clock, actor, "member.create", email, after=_document(member))
        return member
    before = _document(member)
    if before == {"role": role, "disabled": disabled}:
        return member
    _refuse_oneself(email, acting)
    member.role, member.disabled, member.updated_at = role, disabled, now
    repository.end_sessions(session, member=email, at=now)
    _note(session, clock, actor, "member.change", email, before=before, after=_document(member))
    return member


def remove_member(
    session: Session, clock: Clock, *, actor: str, email: str, acting: str | None = None
) -> None:
    """Take a person off the list, and end what they are signed in with. Raises NotFound, and Conflict for oneself."""
    member = find_member(session, email=email, to_change=True)
    _refuse_oneself(member.email, acting)
    repository.end_sessions(session, member=member.email, at=clock.now())
    _note(session, clock, actor, "member.remove", member.email, before=_document(member))
    session.delete(member)


def begin_session(
    session: Session, clock: Clock, *, email: str, lifetime: timedelta
) -> tuple[Member, ApiKey, str]:
    """A key for somebody whose e-mail an issuer vouches for, good for `lifetime`. Raises Refused for whoever is not a member."""
    now = clock.now()
    repository.forget_sessions_before(session, moment=now - SESSIONS_KEPT)
    # Whoever changes the role at this moment ends the sessions that there are: this one is among them, or has the new role.
    member = repository.find_member(session, email.translate(_SMALL), to_change=True)
    if member is None:
        raise Refused(
            f"{email} is not a member here; ask an admin to add you, on the page Access or with "
            f"`touchstone members add {email} --role reader`"
        )
    if member.disabled:
        raise Refused(
            f"{email} is switched off here; ask an admin to switch you on again, on the page Access"
        )
    key, text = security.make_key(
        session,
        clock,
        name=member.email[:200],
        scopes=[SCOPES[Role(member.role)]],
        member=member.email,
        expires_at=now + lifetime,
    )
    member.signed_in_at = now
    _note(session, clock, f"member:{member.email}", "member.sign_in", member.email)
    return member, key, text


def end_session(session: Session, clock: Clock, *, prefix: str) -> None:
    """Make the session with this key useless; raises Refused for a key that was made by hand."""
    key = repository.find_key(session, prefix)
    if key is None or key.member is None:
        raise Refused("this is no session of a member but an API key, which an admin revokes")
    key.revoked_at = key.revoked_at or clock.now()


def _refuse_oneself(email: str, acting: str | None) -> None:
    if email == acting:
        raise Conflict("nobody changes their own access: ask another admin, or use the command line")


def _document(member: Member) -> dict[str, Any]:
    return {"role": member.role, "disabled": member.disabled}


def _note(
    session: Session,
    clock: Clock,
    actor: str,
    action: str,
    email: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    audit.record(
        session,
        clock,
        actor=actor,
        action=action,
        subject_kind="member",
        subject_key=email,
        before=before,
        after=after,
    )
