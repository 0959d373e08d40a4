"""What travels over HTTP about message templates."""

import base64
import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from delivery.models import Template
from delivery.templates.previews import MOST_SHOWN, Preview
from delivery.templates.registry import State
from delivery.templates.shown import Shown
from delivery.templates.template_repository import Name
from experiments.errors import Invalid, Problem
from experiments.metrics import KEY_PATTERN
from experiments.treatments import MessageContent

_PLAIN: Final = re.compile("[ -~]*")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class TemplateAnswer(_Answer):
    """A template in one language. `components` is WhatsApp's own description of it.

    `changed_at` is when something of it changed last; `synced_at` when WhatsApp's list last had it; `gone_at` since when it
    is no longer on that list.
    """

    name: str
    language: str
    category: str
    status: str
    quality: str | None
    parameter_format: str
    components: list[Any]
    changed_at: datetime
    synced_at: datetime | None
    gone_at: datetime | None

    @classmethod
    def of(cls, row: Template) -> Self:
        return cls.model_validate(row)


class TemplatesPage(_Answer):
    """Some templates. `synced_at` is when the registry was last in line with WhatsApp's list (null: never), `error` what went
    wrong since.
    """

    items: list[TemplateAnswer]
    next_cursor: str | None
    synced_at: datetime | None
    error: str | None

    @classmethod
    def of(cls, rows: Sequence[Template], limit: int, state: State) -> Self:
        last = rows[-1] if len(rows) == limit else None
        return cls(
            items=[TemplateAnswer.of(row) for row in rows],
            next_cursor=None if last is None else encode_name((last.name, last.language)),
            synced_at=state.synced_at,
            error=state.error,
        )


class TemplateLanguages(_Answer):
    """A template in every language."""

    name: str
    languages: list[TemplateAnswer]


class SyncedAnswer(_Answer):
    """What a synchronisation did, in templates (each language is one)."""

    listed: int
    added: int
    changed: int
    gone: int
    unreadable: int = Field(description="Listed in a form that is not known, and left out")


class TemplatePreviewRequest(BaseModel):
    """What to preview: a `message`, or that of a `variant` of an `experiment`; and for whom.

    For the users of `user_ids`, or for `sample` users of `condition` (of the experiment's audience when that is absent).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: MessageContent | None = None
    experiment: Annotated[str, Field(pattern=KEY_PATTERN)] | None = None
    variant: Annotated[str, Field(max_length=64)] | None = None
    condition: dict[str, Any] | str | None = None
    user_ids: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field([], max_length=MOST_SHOWN)
    sample: int = Field(5, ge=1, le=MOST_SHOWN)


class WordsMissing(_Answer):
    """Why a message cannot be written: the field below `message`, and the variable."""

    field: str
    message: str

    @classmethod
    def of(cls, problem: Problem) -> Self:
        return cls(field=problem.field, message=problem.message)


class Unwritten(WordsMissing):
    """.. and for how many users."""

    users: int


class ButtonAnswer(_Answer):
    """`value`: where its address leads, what it copies, or what we are told when it is pressed."""

    kind: str
    text: str
    value: str | None


class ShownAnswer(_Answer):
    """What one user would read; with `error` why they cannot be written to.

    `kind` is template or text (`window_open`: within 24 hours of their last message to us). Without the template in the
    registry there are only the `parameters`. `fallbacks`: content sources whose fallback stands in.
    """

    user_id: str
    kind: str | None
    language: str | None
    window_open: bool
    header_kind: str | None
    header: str | None
    body: str | None
    footer: str | None
    buttons: list[ButtonAnswer]
    parameters: list[str]
    fallbacks: list[str]
    error: WordsMissing | None

    @classmethod
    def of(cls, shown: Shown) -> Self:
        return cls.model_validate(shown)


class TemplatePreviewAnswer(_Answer):
    """Some users, and of how many that were `checked` so many `failed`, for which reasons (most frequent first)."""

    users: list[ShownAnswer]
    checked: int
    failed: int
    reasons: list[Unwritten]
    warnings: list[str]

    @classmethod
    def of(cls, preview: Preview) -> Self:
        return cls(
            users=[ShownAnswer.of(user) for user in preview.users],
            checked=preview.checked,
            failed=preview.failed,
            reasons=[
                Unwritten(field=problem.field, message=problem.message, users=users)
                for problem, users in preview.reasons
            ],
            warnings=list(preview.warnings),
        )


def encode_name(name: Name) -> str:
    """A place in the list of templates as text that promises nothing about what it holds.

    >>> decode_name(encode_name(("spring", "pt_BR")))
    ('spring', 'pt_BR')
    """
    return base64.urlsafe_b64encode(json.dumps(name).encode()).decode().rstrip("=")


def decode_name(text: str) -> Name:
    """The inverse of `encode_name`; raises Invalid."""
    try:
        place = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        name, language = place
    except (ValueError, TypeError, RecursionError):
        name = language = None
    if not isinstance(name, str) or not isinstance(language, str) or not _PLAIN.fullmatch(name + language):
        raise Invalid("is not a cursor of this list; take `next_cursor` of the page before", field="cursor")
    return name, language
