"""What travels over HTTP about segments, tags and attributes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.masking import masked_attributes, without_numbers
from experiments.vocabulary import Category
from targeting.conditions import describe
from targeting.conditions.text import print_text
from targeting.segments.attributes import Attribute
from targeting.segments.combining import Combinations
from targeting.segments.lists import ListSummary
from targeting.segments.membership import Listed, Overlap
from targeting.segments.preview import Count, Preview
from targeting.segments.service import Segment

SHOWN_UNKNOWN = 100


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SegmentRequest(_Request):
    """A segment is a named condition, as JSON or as text; without one it is a list."""

    name: str = Field(min_length=1, max_length=200)
    condition: dict[str, Any] | str | None = None


class SegmentAnswer(_Answer):
    """`size` is how many members there were when the membership was last made or changed, at `refreshed_at`.

    `text` and `english` say the condition in other words.
    """

    key: str
    name: str
    kind: str = Field(description="condition or list")
    condition: dict[str, Any] | None
    text: str | None
    english: str | None
    size: int | None
    refreshed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    warnings: list[str] = Field(default=[], description="Of a segment just stored: what may be wrong with it")

    @classmethod
    def of(cls, segment: Segment, warnings: Sequence[str] = ()) -> Self:
        condition = segment.condition
        return cls(
            key=segment.key,
            name=segment.name,
            kind="list" if condition is None else "condition",
            condition=condition,
            text=None if condition is None else print_text(condition),
            english=None if condition is None else describe(condition),
            size=segment.size,
            refreshed_at=segment.refreshed_at,
            created_at=segment.created_at,
            updated_at=segment.updated_at,
            warnings=list(warnings),
        )


class RefreshAnswer(_Answer):
    """Members now, and how many joined and left."""

    key: str
    size: int
    joined: int
    left: int
    refreshed_at: datetime


class MemberAnswer(_Answer):
    user_id: str
    added_at: datetime


class MembersRequest(_Request):
    """Who is on the list, all of them; longer lists are sent as a file."""

    user_ids: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(max_length=10_000)


class UnknownUser(_Answer):
    """An id that is no user's. `line` is its place, from 1: the line of a file, the entry of a list."""

    line: int
    reason: str
    user_id: str


class MembersAnswer(_Answer):
    """What became of a list. The first hundred of the `rejected` are shown."""

    size: int
    added: int
    removed: int
    rejected: int
    rejects: list[UnknownUser]

    @classmethod
    def of(cls, listed: Listed) -> Self:
        return cls(
            size=listed.size,
            added=listed.added,
            removed=listed.removed,
            rejected=len(listed.unknown),
            rejects=[
                UnknownUser(line=place + 1, reason="is no user's id", user_id=name)
                for place, name in listed.unknown[:SHOWN_UNKNOWN]
            ],
        )

    @classmethod
    def of_file(cls, summary: ListSummary, rejects: list[UnknownUser]) -> Self:
        return cls(
            size=summary.size,
            added=summary.added,
            removed=summary.removed,
            rejected=summary.rejected,
            rejects=rejects,
        )


class PreviewRequest(_Request):
    """`condition` is JSON, or text such as `country = "NL" and age >= 18`. `category` is of the messages they may get."""

    condition: dict[str, Any] | str
    sample: int = Field(10, ge=0, le=100)
    category: Category = Category.MARKETING


class PreviewUser(_Answer):
    user_id: str
    attributes: dict[str, Any]
    created_at: datetime


class CountAnswer(_Answer):
    """Exact, or an estimate from a random draw of users; then 95 of 100 such intervals hold the truth."""

    count: int
    exact: bool
    lower: int
    upper: int

    @classmethod
    def of(cls, count: Count) -> Self:
        return cls(count=count.value, exact=count.exact, lower=count.lower, upper=count.upper)


class CombinedSegment(CountAnswer):
    """`as_of` is when the membership was made that was compared; null: the condition was evaluated now."""

    key: str
    as_of: datetime | None


class Combination(CountAnswer):
    """How many users are in all of these segments, and in none of the others that were compared."""

    keys: list[str]


class CombinationsAnswer(_Answer):
    """The largest combination first; those in which nobody was found are left out."""

    segments: list[CombinedSegment]
    combinations: list[Combination]

    @classmethod
    def of(cls, found: Combinations) -> Self:
        ordered = sorted(found.users.items(), key=lambda item: (-item[1].value, item[0]))
        return cls(
            segments=[
                CombinedSegment(key=key, as_of=as_of, **CountAnswer.of(found.sizes[key]).model_dump())
                for key, as_of in found.as_of
            ],
            combinations=[
                Combination(keys=list(keys), **CountAnswer.of(users).model_dump()) for keys, users in ordered
            ],
        )


class PreviewAnswer(CountAnswer):
    """How many users, and `messageable`: those of them with a phone number and consent to the category of the request."""

    messageable: CountAnswer
    sample: list[PreviewUser]
    warnings: list[str]

    @classmethod
    def about(cls, preview: Preview, *, sees_numbers: bool) -> Self:
        return cls(
            **CountAnswer.of(preview.count).model_dump(),
            messageable=CountAnswer.of(preview.messageable),
            sample=[
                PreviewUser(
                    user_id=one.user_id,
                    attributes=one.attributes if sees_numbers else masked_attributes(one.attributes),
                    created_at=one.created_at,
                )
                for one in preview.sample
            ],
            warnings=list(preview.warnings),
        )


class OverlapSide(_Answer):
    """`as_of` is when the membership was made that was compared; null: the condition was evaluated now."""

    key: str
    size: int
    only: int
    as_of: datetime | None


class OverlapAnswer(_Answer):
    """`jaccard` is both / either; null when both are empty."""

    a: OverlapSide
    b: OverlapSide
    both: int
    jaccard: float | None

    @classmethod
    def of(cls, a: str, b: str, overlap: Overlap) -> Self:
        first, second = overlap.as_of
        return cls(
            a=OverlapSide(key=a, size=overlap.a, only=overlap.only_a, as_of=first),
            b=OverlapSide(key=b, size=overlap.b, only=overlap.only_b, as_of=second),
            both=overlap.both,
            jaccard=overlap.jaccard,
        )


class UseAnswer(_Answer):
    """Something that names a segment: `kind` is experiment, segment or rule."""

    kind: str
    key: str


class TagsRequest(_Request):
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(min_length=1, max_length=50)


class TagSegmentRequest(_Request):
    """`remove` takes the tag off instead."""

    tag: str = Field(min_length=1, max_length=100)
    remove: bool = False


class TaggedAnswer(_Answer):
    """Users looked at, users whose tags changed, and users who could not take another tag."""

    looked_at: int
    changed: int
    refused: int


class AttributeRequest(_Request):
    indexed: bool


class AttributeAnswer(_Answer):
    """An attribute as last discovered from a random draw of users. `share` is of users who have it.

    `examples` are shown only where at most twenty different values occur, each of them shared by several users.
    """

    name: str
    kind: str = Field(description="text, number, boolean, time, list, object or mixed")
    share: float
    examples: list[Any]
    indexed: bool
    discovered_at: datetime

    @classmethod
    def of(cls, attribute: Attribute, *, sees_numbers: bool = True) -> Self:
        answer = cls.model_validate(attribute, from_attributes=True)
        if sees_numbers:
            return answer
        examples = without_numbers(answer.examples, called=answer.name)
        return answer.model_copy(update={"examples": examples})


class KnownEventAnswer(_Answer):
    name: str
    last_at: datetime
