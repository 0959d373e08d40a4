"""What travels over HTTP about pulls."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from targeting.pulls.definitions import PullDefinition


class PullRequest(PullDefinition):
    """A pull as it is put; see docs/imports.md."""

    enabled: bool = True

    def definition(self) -> PullDefinition:
        """What is to be pulled, without whether it is."""
        return PullDefinition.model_validate(
            {name: getattr(self, name) for name in PullDefinition.model_fields}
        )


class PullAnswer(BaseModel):
    """A pull and how it stands. `running` is true while a worker holds it; `error` is of its last run, null when that went well.

    Its runs are the imports with the source `pull:KEY`.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    enabled: bool
    definition: PullDefinition
    cursor: int | float | str | None
    next_at: datetime | None
    running: bool
    error: str | None
    created_at: datetime
    updated_at: datetime
