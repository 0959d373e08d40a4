"""What a change of templates means for campaigns that already run with them: their fuses.

A webhook says so at once (`template_updates.py`); but webhooks get lost, and the list of templates knows it all the same.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.templates import registry as templates
from delivery.templates import template_repository as repository
from delivery.templates.template_checks import Known, misplaced
from delivery.templates.template_updates import STOPS, USABLE
from delivery.whatsapp.items import TemplateUpdate
from experiments import repository as experiment_repository
from experiments.design import ExperimentDesign
from experiments.service import design_of
from experiments.vocabulary import ExperimentStatus

_PAGE: Final = 100
_ALIVE: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)


def statuses_listed(
    session: Session, *, changes: Iterable[tuple[str, str, str | None, str]], at: datetime
) -> None:
    """The list of templates says so: (name, language, status before, status now); before is None if it was not known.

    What has stopped is held back, and what is approved again goes on, as when a webhook says it.
    """
    fuses = breakers.open_keys(session, at)
    for name, language, before, now in changes:
        if now in STOPS and before is not None and before not in STOPS:
            reason = f"{now}: so says the list of templates"
            breakers.template_stopped(session, name=name, language=language, at=at, reason=reason)
        elif (
            now == USABLE
            and (before is None or before in STOPS)
            and (str(breakers.Kind.TEMPLATE), breakers.template_key(name, language)) in fuses
        ):
            breakers.template_restored(session, name=name, language=language, at=at)


def categories_told(session: Session, *, updates: Sequence[tuple[datetime, TemplateUpdate]]) -> int:
    """Webhooks, which are in the registry by now, may have told of other categories; as `categories_changed`."""
    told = {update.template: at for at, update in updates if update.category is not None}
    return categories_changed(session, names=told.keys(), at=max(told.values())) if told else 0


def categories_changed(session: Session, *, names: Collection[str], at: datetime) -> int:
    """Stop each variant of a running campaign that would now send something its people did not consent to.

    `names` are the templates whose category has changed. Returns how many variants were stopped, until somebody closes
    their fuses.
    """
    if not names:
        return 0
    rows = [templates.known(row) for row in repository.named(session, names)]
    stopped = 0
    for design in _alive(session):
        for variant in design.variants:
            message = variant.message
            if message is None or message.template not in names:
                continue
            languages = {message.language, *message.languages}
            wrong = [row for row in rows if row.name == message.template and row.language in languages]
            stopped += _stop(session, design, variant.key, wrong, at)
    return stopped


def _alive(session: Session) -> Iterator[ExperimentDesign]:
    for status in _ALIVE:
        after = 0
        while some := experiment_repository.list_experiments(
            session, after_id=after, limit=_PAGE, status=status
        ):
            yield from map(design_of, some)
            after = some[-1].id or 0


def _stop(
    session: Session, design: ExperimentDesign, variant: str, rows: Collection[Known], at: datetime
) -> bool:
    row = next((row for row in rows if misplaced(row.category, design.category)), None)
    if row is None:
        return False
    return breakers.trip(
        session,
        kind=breakers.Kind.VARIANT,
        key=breakers.variant_key(design.key, variant),
        at=at,
        until=None,
        code=None,
        reason=f"the template {row.name[:100]!r} is {row.category} now, and the campaign {design.category}",
    )
