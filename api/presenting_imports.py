"""Runs of imports, and pulls, as answers."""

from datetime import datetime

from api.pull_schemas import PullAnswer
from api.schemas import ImportAnswer, ImportQualityAnswer
from targeting.models import ImportRun, Pull
from targeting.pulls import service as pulls


def import_answer(run: ImportRun) -> ImportAnswer:
    return ImportAnswer(
        id=run.id or 0,
        source=run.source,
        actor=run.actor,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=run.error,
        light=run.quality["light"] if run.quality else None,
        summary=run.summary,
    )


def import_quality_answer(run: ImportRun) -> ImportQualityAnswer:
    return ImportQualityAnswer(**import_answer(run).model_dump(), quality=run.quality)


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
