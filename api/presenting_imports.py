"""Runs of imports as answers."""

from api.schemas import ImportAnswer, ImportQualityAnswer
from targeting.models import ImportRun


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
