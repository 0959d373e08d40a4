"""What people say to us: that they wrote at all, and whether they want messages. A STOP counts at once.

A stop always counts, however late it arrives. A resume counts only if it is younger than the last change of consent:
webhooks come more than once and in any order, and an old "yes" must not undo a newer "no".
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlmodel import Session

from delivery import receipt_repository as repository
from delivery.whatsapp.items import InboundMessage, PreferenceValue, UserPreference
from experiments.clock import Clock
from experiments.vocabulary import Category
from targeting import consent
from targeting.consent import ConsentChange

STOP_WORDS: Final = frozenset(
    {
        *(
            "stop",
            "stop all",
            "stopall",
            "unsubscribe",
            "opt out",
            "optout",
            "opt-out",
            "cancel",
            "end",
            "quit",
        ),
        *("stop promotions", "stop messages"),
        *("baja", "alto", "parar", "detener", "cancelar", "cancelar suscripción", "darse de baja"),
        *("pare", "sair", "descadastrar", "cancelar inscrição", "cancelar inscricao"),
        *("stoppen", "afmelden", "uitschrijven"),
        *("stopp", "abmelden", "abbestellen", "austragen"),
        *("arrêt", "arret", "arrêter", "arreter", "désabonner", "desabonner", "se désabonner", "désinscrire"),
        *("停止", "退订", "退訂", "取消订阅", "取消訂閱", "取消"),
    }
)
"""A message that is nothing but one of these withdraws consent to marketing: en, es, pt, nl, de, fr, zh."""

_EDGES: Final = " .!?。！？\"'“”«»"


class Wish(StrEnum):
    STOP = "stop"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Said:
    """A person wrote, or chose something about marketing messages, or both (`wish`)."""

    wa_id: str | None
    scoped_id: str | None
    at: datetime
    wrote: bool
    wish: Wish | None = None
    source: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class OptedOut:
    """WhatsApp told us, as the error of a message, that this user stopped marketing messages."""

    user_pk: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """Withdrawals and grants that were news; `strangers` are people whom we do not know."""

    withdrawn: int = 0
    granted: int = 0
    strangers: int = 0


def is_stop(text: str | None) -> bool:
    """Whether a text is exactly a STOP word, whatever its case, spacing and closing punctuation.

    >>> is_stop(" Stop! "), is_stop("please do not stop")
    (True, False)
    """
    if text is None or len(text) > 100:
        return False
    words = unicodedata.normalize("NFKC", text).casefold().strip(_EDGES)
    return " ".join(words.split()) in STOP_WORDS


def said_in(item: InboundMessage | UserPreference, *, received_at: datetime) -> Said:
    """What an item of a webhook says about the person it comes from."""
    at = item.at or received_at
    if isinstance(item, UserPreference):
        wish = Wish.STOP if item.value is PreferenceValue.STOP else Wish.RESUME
        return Said(item.wa_id, item.user_id, at, False, wish, "whatsapp user_preferences", str(item.value))
    stops = is_stop(item.text) or is_stop(item.button_payload)
    if not stops:
        return Said(item.wa_id, item.user_id, at, wrote=True)
    evidence = f"inbound message {item.message_id}"[: consent.MAX_EVIDENCE]
    return Said(item.wa_id, item.user_id, at, True, Wish.STOP, "whatsapp stop word", evidence)


def hear(
    session: Session, clock: Clock, *, said: Sequence[Said], opted_out: Sequence[OptedOut] = ()
) -> Heard:
    """Take note of what people said: when they last wrote, and their consent to marketing."""
    if not said and not opted_out:
        return Heard()
    users = repository.users_of(
        session,
        wa_ids={item.wa_id for item in said if item.wa_id is not None},
        scoped_ids={item.scoped_id for item in said if item.scoped_id is not None},
    )
    wishes = [(out.at, out.user_pk, Wish.STOP, "whatsapp 131050", "status of a message") for out in opted_out]
    heard: dict[int, datetime] = {}
    strangers = 0
    for item in said:
        user_pk = users.get(("wa_id", item.wa_id or "")) or users.get(
            ("business_scoped_id", item.scoped_id or "")
        )
        if user_pk is None:
            strangers += 1
            continue
        if item.wrote:
            heard[user_pk] = max(item.at, heard.get(user_pk, item.at))
        if item.wish is not None:
            wishes.append((item.at, user_pk, item.wish, item.source, item.evidence))
    changes = _changes(session, wishes)
    applied = consent.apply_changes(session, clock, changes=changes)
    repository.move_last_inbound(session, heard)
    return Heard(applied.withdrawn, applied.granted, strangers)


def _changes(session: Session, wishes: Sequence[tuple[datetime, int, Wish, str, str]]) -> list[ConsentChange]:
    """The wishes as changes of consent, oldest first, without those to resume that something newer outweighs."""
    resumed = {user_pk for _, user_pk, wish, _, _ in wishes if wish is Wish.RESUME}
    changed_at = repository.consent_changed_at(session, resumed, category=Category.MARKETING)
    return [
        ConsentChange(
            user_pk, Category.MARKETING, granted=wish is Wish.RESUME, source=source, evidence=evidence
        )
        for at, user_pk, wish, source, evidence in sorted(wishes, key=lambda wish: wish[0])
        if wish is Wish.STOP or user_pk not in changed_at or at > changed_at[user_pk]
    ]
