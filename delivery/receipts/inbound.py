"""What people say to us: who they are, that they wrote, and whether they want messages. A STOP counts at once.

What they want is in `wishes`. A person whom WhatsApp says to have changed number is the same person under both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from delivery.receipts import inbound_repository as repository
from delivery.receipts import wishes
from delivery.receipts.inbound_repository import MAX_NAME, SCOPED_ID, WA_ID, Stranger
from delivery.receipts.wishes import PREFERENCES, STATUS_131050, STOP_WORD, Wish, Wished
from delivery.whatsapp.items import InboundMessage, PreferenceValue, UserPreference
from experiments.clock import Clock
from experiments.vocabulary import MESSAGE_RECEIVED_EVENT
from targeting import consent, event_repository, rule_triggers, tombstones
from targeting.stop_words import is_stop

SYSTEM: Final = "system"
"""Messages of this kind are WhatsApp's own, about a person: nobody wrote them."""


@dataclass(frozen=True, slots=True)
class Said:
    """A person wrote (`message_id`, what it was, its words), or chose something about marketing messages (`wish`).

    A message of the kind `system` tells the names by which the person goes from now on (`new_wa_id`, `new_scoped_id`).
    """

    wa_id: str | None = field(repr=False)
    scoped_id: str | None
    at: datetime
    message_id: str | None = None
    kind: str = ""
    texts: tuple[str, ...] = field(default=(), repr=False)
    wish: Wish | None = None
    source: str = ""
    evidence: str = ""
    new_wa_id: str | None = field(default=None, repr=False)
    new_scoped_id: str | None = None

    @property
    def wrote(self) -> bool:
        return self.message_id is not None and self.kind != SYSTEM


@dataclass(frozen=True, slots=True)
class OptedOut:
    """WhatsApp told us, as the error of a message, that this user stopped marketing messages."""

    user_pk: int
    at: datetime
    evidence: str = "status of a message"


@dataclass(frozen=True, slots=True)
class Heard:
    """Withdrawals and grants that were news; `strangers` are people of whom nobody had told us: now they are users."""

    withdrawn: int = 0
    granted: int = 0
    strangers: int = 0


def said_in(item: InboundMessage | UserPreference, *, received_at: datetime) -> Said:
    """What an item of a webhook says about the person it comes from."""
    at = item.at or received_at
    if isinstance(item, UserPreference):
        wish = Wish.STOP if item.value is PreferenceValue.STOP else Wish.RESUME
        return Said(item.wa_id, item.user_id, at, wish=wish, source=PREFERENCES, evidence=str(item.value))
    texts = tuple(text for text in (item.text, item.button_payload) if text is not None)
    return Said(
        item.wa_id,
        item.user_id,
        at,
        message_id=item.message_id,
        kind=item.kind,
        texts=texts,
        new_wa_id=item.new_wa_id,
        new_scoped_id=item.new_user_id,
    )


def hear(
    session: Session,
    clock: Clock,
    *,
    said: Sequence[Said],
    opted_out: Sequence[OptedOut] = (),
    stop_words: Mapping[str, Sequence[str]] | None = None,
    erasure_secret: str = "",
) -> Heard:
    """Take note of what people said: who they are, when they last wrote, and their consent to marketing.

    Whoever writes becomes a user, without consent to anything: so a "stop" of somebody who is imported next week is
    known by then. Somebody who was erased stays unknown. `stop_words` are the settings' own, by language.
    """
    if not said and not opted_out:
        return Heard()
    users = repository.users_of(
        session,
        wa_ids={item.wa_id for item in said if item.wa_id is not None},
        scoped_ids={item.scoped_id for item in said if item.scoped_id is not None},
    )
    _rename(session, said, users, secret=erasure_secret)
    strangers = _not_erased(session, _strangers(said, users), secret=erasure_secret)
    newcomers = repository.add_strangers(session, strangers, secret=erasure_secret, now=clock.now())
    users |= newcomers
    people = [(item, _who(item, users)) for item in said]
    known = [(item, pk) for item, pk in people if pk is not None]
    repository.put_scoped_ids(
        session, {item.scoped_id: pk for item, pk in known if item.scoped_id is not None}
    )
    wished = [Wished(out.user_pk, Wish.STOP, out.at, STATUS_131050, out.evidence) for out in opted_out]
    locales = repository.locales_of(session, {pk for _, pk in known})
    wished += [
        wish
        for item, pk in known
        if (wish := _wish_of(item, pk, locale=locales.get(pk), stop_words=stop_words)) is not None
    ]
    applied = wishes.apply(session, clock, wished=wished)
    heard: dict[int, datetime] = {}
    for item, pk in known:
        if item.wrote:
            heard[pk] = max(item.at, heard.get(pk, item.at))
    repository.move_last_inbound(session, heard)
    new = event_repository.insert_events(
        session, [_event(item, pk, clock) for item, pk in known if item.wrote]
    )
    rule_triggers.note_events(session, events=new, now=clock.now())
    return Heard(applied.withdrawn, applied.granted, len(set(newcomers.values())))


def _who(item: Said, users: Mapping[tuple[str, str], int]) -> int | None:
    return users.get((WA_ID, item.wa_id or "")) or users.get((SCOPED_ID, item.scoped_id or ""))


def _strangers(said: Sequence[Said], users: Mapping[tuple[str, str], int]) -> list[Stranger]:
    """Those whom nobody knows, each once: two items of one person may name them differently."""
    found: dict[str, Stranger] = {}
    for item in said:
        if item.kind == SYSTEM or _who(item, users) is not None:
            continue
        for name in (item.wa_id, item.scoped_id):
            if name is not None and len(name) <= MAX_NAME:
                found.setdefault(name, Stranger(item.wa_id, item.scoped_id))
                break
    return list(found.values())


def _not_erased(session: Session, strangers: Sequence[Stranger], *, secret: str) -> list[Stranger]:
    names = {stranger: list(_names(stranger)) for stranger in strangers}
    erased = tombstones.erased_among(
        session, [name for known in names.values() for name in known], secret=secret
    )
    return [stranger for stranger, known in names.items() if erased.isdisjoint(known)]


def _names(stranger: Stranger) -> Iterator[tombstones.Name]:
    if stranger.wa_id is not None:
        yield WA_ID, stranger.wa_id
    if stranger.scoped_id is not None:
        yield SCOPED_ID, stranger.scoped_id


def _rename(
    session: Session, said: Sequence[Said], users: dict[tuple[str, str], int], *, secret: str
) -> None:
    """Let people be known by the names that WhatsApp says they go by now, and write to their new number.

    A number that is somebody else's already, or that of somebody who was erased, stays as it is.
    """
    for item in sorted((item for item in said if item.kind == SYSTEM), key=lambda item: item.at):
        user_pk = _who(item, users)
        if user_pk is None:
            continue
        names = [(WA_ID, item.new_wa_id), (SCOPED_ID, item.new_scoped_id)]
        new = {(kind, value) for kind, value in names if value is not None and len(value) <= MAX_NAME}
        if not new or tombstones.erased_among(session, new, secret=secret):
            continue
        repository.rename(session, user_pk, old=item.wa_id, new_wa_id=item.new_wa_id, names=new)
        for name in new:
            users.setdefault(name, user_pk)


def _wish_of(
    item: Said, user_pk: int, *, locale: str | None, stop_words: Mapping[str, Sequence[str]] | None
) -> Wished | None:
    if item.wish is not None:
        return Wished(user_pk, item.wish, item.at, item.source, item.evidence)
    if item.wrote and any(is_stop(text, locale=locale, more=stop_words) for text in item.texts):
        evidence = f"inbound message {item.message_id}"[: consent.MAX_EVIDENCE]
        return Wished(user_pk, Wish.STOP, item.at, STOP_WORD, evidence)
    return None


def _event(item: Said, user_pk: int, clock: Clock) -> dict[str, Any]:
    # What was written stays out: it belongs to the conversation, not to what campaigns know.
    return {
        "message_id": f"inbound:{item.message_id}"[:MAX_NAME],
        "user_pk": user_pk,
        "name": MESSAGE_RECEIVED_EVENT,
        "at": item.at,
        "received_at": clock.now(),
        "properties": {"kind": item.kind},
    }
