"""Templates in the registry, as a synchronisation would have put them there."""

from typing import Any

from sqlmodel import Session

from delivery.models import TemplateSync
from delivery.templates import template_repository as repository
from delivery.templates.template_sync import store
from delivery.whatsapp.template_api import ListedTemplate, Listing
from experiments.clock import Clock

HELLO = {"type": "BODY", "text": "Hi {{1}}, your code is {{2}}"}


def template(
    name: str = "spring_coupon", language: str = "en_US", *components: dict[str, Any], **changes: Any
) -> ListedTemplate:
    values: dict[str, Any] = {
        "template_id": None,
        "category": "marketing",
        "status": "APPROVED",
        "quality": "GREEN",
        "parameter_format": "POSITIONAL",
        "components": list(components) or [HELLO],
    }
    return ListedTemplate(name=name, language=language, **values | changes)


def register(session: Session, clock: Clock, *templates: ListedTemplate) -> None:
    """These are all the templates there are."""
    now = clock.now()
    store(session, clock, listing=Listing(templates, 0), asked_at=now)
    repository.put_sync(session, TemplateSync(account="", tried_at=now, synced_at=now))
