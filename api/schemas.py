"""What travels over HTTP, beside the design of an experiment itself."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from experiments.design import ExperimentDesign
from experiments.metrics import KEY_PATTERN, MetricDefinition
from experiments.vocabulary import Category, ExperimentStatus, MessageState, Scope

Item = TypeVar("Item")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(_Answer, Generic[Item]):
    """One page of a list. Pass `next_cursor` as `cursor` to get the next; it is null on the last page."""

    items: list[Item]
    next_cursor: str | None


class FieldProblem(_Answer):
    field: str
    message: str


class ProblemDocument(_Answer):
    """An error (RFC 9457). `errors` names each field that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem]


class ExperimentAnswer(_Answer):
    key: str
    name: str
    hypothesis: str
    category: Category
    status: ExperimentStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    measured_until: datetime | None = Field(
        None,
        description="Of a stopped experiment: when the last window closes, after which its reports stay as they are",
    )
    shipped: str | None = Field(
        None, description="The variant that everybody who comes gets, since `shipped_at`"
    )
    shipped_at: datetime | None = None
    released: float | None = Field(
        None, description="Of an audience that goes out in waves: the share of it that is out"
    )
    design: ExperimentDesign
    follows: list[str] = Field(
        default=[], description="Of a variant that was shipped: who gets what from now on"
    )
    warnings: list[str] = Field(default=[], description="Of a design just stored: what may be wrong with it")


class AppliedAnswer(_Answer):
    """`outcome` is created, changed or unchanged."""

    outcome: str
    experiment: ExperimentAnswer


class MessageAnswer(_Answer):
    """One message and its story. The phone number is not part of it. `failed_at` is of the latest try; `first_failed_at` stays when a further try goes well."""

    id: int
    user_id: str
    variant: str
    step: int
    state: MessageState
    reason: str | None
    error_code: int | None
    due_at: datetime
    accepted_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    clicked_at: datetime | None
    failed_at: datetime | None
    first_failed_at: datetime | None


class ConsentAnswer(_Answer):
    category: Category
    granted: bool
    changed_at: datetime


class ConsentRecordAnswer(_Answer):
    """One grant or withdrawal: when, where it was heard, and its proof. `evidence` is shown to keys with the scope write only."""

    category: Category
    granted: bool
    at: datetime
    source: str
    evidence: str | None


class EventAnswer(_Answer):
    """Something a user did; `received_at` is when we heard of it."""

    message_id: str
    name: str
    at: datetime
    received_at: datetime
    properties: dict[str, Any]


class UserAnswer(_Answer):
    """`phone` is shown to keys with the scope write only; others see whether there is one."""

    user_id: str
    phone: str | None
    has_phone: bool
    time_zone: str | None
    locale: str | None
    attributes: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None
    consents: list[ConsentAnswer]


class UserRequest(_Request):
    user_id: str = Field(min_length=1, max_length=200)
    phone: str | None = Field(None, max_length=40)
    time_zone: str | None = Field(None, max_length=64)
    locale: str | None = Field(None, max_length=35)
    attributes: dict[str, Any] = Field(default_factory=dict)


class PhoneRequest(_Request):
    phone: str = Field(min_length=1, max_length=40)


class ConsentRequest(_Request):
    """A grant needs its proof: where the person agreed, and to which words. A withdrawal needs none: it must never fail for a form."""

    category: Category = Category.MARKETING
    granted: bool
    source: str = Field("", max_length=100, validate_default=True)
    evidence: str = Field("", max_length=1000)

    @field_validator("source")
    @classmethod
    def _proof(cls, value: str, info: ValidationInfo) -> str:
        if value.strip():
            return value
        if info.data.get("granted", True):
            raise ValueError("a grant needs it: where did the person agree, such as checkout")
        return "api"


class MetricAnswer(_Answer):
    key: str
    definition: MetricDefinition
    updated_at: datetime


class KeyRequest(_Request):
    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))


class KeyAnswer(_Answer):
    prefix: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class OwnKeyAnswer(_Answer):
    """`scopes` are all that the key may do, those included that another scope brings along."""

    prefix: str
    name: str
    scopes: list[Scope]


class NewKeyAnswer(KeyAnswer):
    """`key` is shown this once."""

    key: str


class ErasedAnswer(_Answer):
    """`erased_as` is the random name of the empty row that is left; null once the person may come back."""

    erased_as: str | None


class ReadmitRequest(_Request):
    phone: str | None = None


class AuditAnswer(_Answer):
    id: int
    at: datetime
    actor: str
    action: str
    subject_kind: str
    subject_key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class IngestAnswer(_Answer):
    """Segment's clients look for `success`; the counts are ours."""

    success: bool = True
    accepted: int
    duplicates: int


class MetricKey(_Request):
    key: str = Field(pattern=KEY_PATTERN)


class Health(_Answer):
    status: str
    revision: str | None = None


class ColumnAnswer(_Answer):
    """One column of a file. `becomes` is `user_id`, `phone`, `consent.marketing`, `attributes.country` ..; `values` stand in its first rows."""

    name: str
    becomes: str
    values: list[str]


class ImportAnswer(_Answer):
    """One import by file or pull. `error` says why it ended early; `light` is ok, look or bad, null while it runs.

    While it runs, `summary` has the number of `rows` that are done.
    """

    id: int
    source: str
    actor: str
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    light: str | None
    summary: dict[str, Any] | None


class ImportQualityAnswer(ImportAnswer):
    """`quality` holds `light`, `rows`, `topics`, `findings` and `columns`; see docs/imports.md."""

    quality: dict[str, Any] | None
