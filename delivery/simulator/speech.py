"""A person speaks because a test wants it: writes, presses a button, stops or resumes. Into news, checked by field."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from delivery.simulator.correspondence import Correspondence
from delivery.simulator.emission import WRITTEN, News, Step
from delivery.simulator.journey import SECOND
from delivery.simulator.ledger import Ledger
from delivery.simulator.world import World
from experiments.errors import Invalid, NotFound

_KEYS: Final = {"phone", "user_id", "text", "button", "payload", "preference", "message"}
_PREFERENCES: Final = {"stop": Step.STOP_MENU, "resume": Step.RESUME_MENU}


def speak(
    document: Mapping[str, Any],
    *,
    world: World,
    ledger: Ledger,
    correspondence: Correspondence,
    now: int,
    number: int,
) -> News:
    """`{"phone" or "user_id": .., and one of "text": "..", "button": "..", "preference": "stop" or "resume"}` as news.

    A button is named by its text; `payload` is what it carries (None: its text). `message` is the callback data of the
    message that is answered; a button without one answers none. `now` in microseconds; `number` tells sayings apart.
    What is said counts at once: a text or a button opens the window.
    """
    for name, value in document.items():
        if name not in _KEYS:
            raise Invalid("is not known", field=name)
        if not isinstance(value, str) or not value:
            raise Invalid("must be a text", field=name)
    said = [name for name in ("text", "button", "preference") if name in document]
    if len(said) != 1:
        raise Invalid("give one of text, button and preference", field="text")
    if "payload" in document and said != ["button"]:
        raise Invalid("belongs to a button", field="payload")
    if said == ["preference"] and document["preference"] not in _PREFERENCES:
        raise Invalid("must be stop or resume", field="preference")
    wa_id = _person(document, world)
    digest = hashlib.blake2b(f"{number}\0{wa_id}\0{now}".encode(), digest_size=12).hexdigest().upper()
    step = {"text": Step.REPLY, "button": Step.PRESS}.get(said[0]) or _PREFERENCES[document["preference"]]
    news = News(
        step,
        now // SECOND,
        wa_id,
        _answered(document.get("message"), ledger),
        None,
        "marketing",
        text=document[said[0]],
        payload=document.get("payload"),
        message_id=f"wamid.IN{digest}",
    )
    if step in WRITTEN:
        correspondence.wrote(wa_id, now)
    else:
        correspondence.chose(wa_id, now, stop=step is Step.STOP_MENU)
    return news


def _person(document: Mapping[str, Any], world: World) -> str:
    phone, user_id = document.get("phone"), document.get("user_id")
    if (phone is None) == (user_id is None):
        raise Invalid("give phone, or user_id, and not both", field="phone")
    if phone is not None:
        digits = str(phone).removeprefix("+")
        if not (digits.isascii() and digits.isdigit()):
            raise Invalid("must be an E.164 number", field="phone")
        return digits
    for person in world.people:
        if person.user_id == user_id:
            return person.digits
    raise NotFound(f"nobody in the world is {user_id}", field="user_id")


def _answered(callback_data: str | None, ledger: Ledger) -> str | None:
    if callback_data is None:
        return None
    entry = ledger.find(callback_data)
    if entry is None or not entry.messages:
        raise NotFound(f"no message with the callback data {callback_data} was accepted", field="message")
    return entry.messages[-1].wamid
