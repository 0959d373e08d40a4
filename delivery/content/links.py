"""Links that count clicks: a token in the template's URL button leads through our redirect to the real address."""

import secrets
from collections.abc import Mapping

from sqlmodel import Session

from delivery.content import link_repository as repository
from experiments.clock import Clock
from experiments.errors import NotFound

TOKEN_BYTES = 16
"""128 bits: a token cannot be guessed, so a click tells that somebody held the message."""


def create(session: Session, *, targets: Mapping[int, str]) -> dict[int, str]:
    """The click token of each message, by message id; `targets` maps message id to address.

    A message that has a token already keeps it, so that a second try sends the same link.
    """
    tokens = repository.link_tokens(session, message_pks=list(targets))
    missing = {message_pk: url for message_pk, url in targets.items() if message_pk not in tokens}
    made = {message_pk: secrets.token_urlsafe(TOKEN_BYTES) for message_pk in missing}
    repository.add_links(
        session,
        rows=[
            {"token": made[message_pk], "message_pk": message_pk, "url": url}
            for message_pk, url in missing.items()
        ],
    )
    return tokens | made


def click(session: Session, clock: Clock, *, token: str) -> str:
    """Count one click and return the address to go on to; raises NotFound for a token that we never gave out.

    The address comes back exactly as the campaign's author wrote it. The state of the message stays as it is: that it
    was read is for WhatsApp to say.
    """
    link = repository.find_link(session, token)
    if link is None:
        raise NotFound("there is no such link", field="token")
    repository.record_click(session, link=link, at=clock.now())
    return link.url
