"""Runs of imports, and pulls, as answers."""

from datetime import datetime
from typing import Final

from api.masking import masked_quality, without_numbers
from api.pull_schemas import PullAnswer
from api.schemas import ImportAnswer, ImportQualityAnswer
from api.security import Principal
from experiments.clock import Clock
from targeting.imports.importing import silent_since
from targeting.models import ImportRun, Pull
from targeting.pulls import service as pulls

LISTED_REJECTS: Final = 20
"""A list of imports has the first rejected rows of each; one import has all that are kept."""


DIED: Final = "its process has died: nothing was heard of it since; what came before stays, send the file again for the rest"


def import_answer(run: ImportRun, clock: Clock) -> ImportAnswer:
    died_at = silent_since(run, clock)
    summary = run.summary and {name: told for name, told in run.summary.items() if name != "at"}
    if summary and len(summary.get("rejects", ())) > LISTED_REJECTS:
        summary = summary | {"rejects": summary["rejects"][:LISTED_REJECTS]}
    return ImportAnswer(
        id=run.id or 0,
        source=run.source,
        actor=run.actor,
        started_at=run.started_at,
        finished_at=died_at or run.finished_at,
        error=DIED if died_at else run.error,
        light=run.quality["light"] if run.quality else None,
        summary=summary,
    )


def import_quality_answer(run: ImportRun, clock: Clock, principal: Principal) -> ImportQualityAnswer:
    quality, told = run.quality, import_answer(run, clock).model_dump()
    if run.finished_at is not None:
        told["summary"] = run.summary
    if not principal.sees_numbers:
        quality, told["summary"] = quality and masked_quality(quality), without_numbers(told["summary"])
    return ImportQualityAnswer(**told, quality=quality)


def pull_answer(pull: Pull, now: datetime) -> PullAnswer:
    return PullAnswer(
        key=pull.key,
        enabled=pull.enabled,
        definition=pulls.definition_of(pull),
        cursor=pull.cursor["value"] if pull.cursor else None,
        next_at=pull.next_at,
        running=pull.claimed_until is not None and pull.claimed_until > now,
        error=pull.error,
        created_at=pull.created_at,
        updated_at=pull.updated_at,
    )
