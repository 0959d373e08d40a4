"""The templates of the business account: what they declare, how they stand, and Graph's way to list them."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from delivery.simulator.components import Shape
from delivery.simulator.graph import GraphError
from delivery.simulator.notices import Notice
from delivery.simulator.profile import Pacing

STATUSES: Final = ("APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "IN_APPEAL", "PENDING_DELETION")
QUALITIES: Final = ("GREEN", "YELLOW", "RED", "UNKNOWN")
CATEGORIES: Final = ("MARKETING", "UTILITY", "AUTHENTICATION")
FIELDS: Final = (
    *("id", "name", "language", "status", "category", "quality_score", "components", "parameter_format"),
    *("rejected_reason", "previous_category"),
)
DEFAULT_FIELDS: Final = ("name", "parameter_format", "components", "language", "status", "category", "id")
DEFAULT_LIMIT: Final = 25
LONGEST_PAGE: Final = 1000


@dataclass(slots=True)
class Change:
    """What becomes of a template at `at` (microseconds since 1970), and what is then told of it.

    `restart` begins a new round of pacing, `trusted` ends it for good. `void`: something else happened meanwhile.
    """

    at: int
    notices: tuple[Notice, ...]
    status: str | None = None
    quality: str | None = None
    restart: bool = False
    trusted: bool = False
    void: bool = False


@dataclass(slots=True)
class Template:
    """One template in one language; `any_language`: it is known in every language (its behaviour names none)."""

    name: str
    language: str
    components: list[dict[str, Any]]
    shape: Shape
    category: str = "MARKETING"
    status: str = "APPROVED"
    quality: str = "UNKNOWN"
    any_language: bool = False
    pacing: Pacing | None = None
    previous_category: str | None = None
    rejected_reason: str = "NONE"
    id: int = 0
    round: int = 1
    sent: int = 0
    verdict: tuple[int, bool] | None = None
    trusted: bool = False
    pending: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(f"{self.name}\0{self.language}".encode(), digest_size=7).digest()
        self.id = self.id or 10**15 + int.from_bytes(digest) % 10**15

    @property
    def marketing(self) -> bool:
        return self.category == "MARKETING"

    def settle(self, now: int) -> None:
        """Let every change whose time has come happen."""
        while self.pending and self.pending[0].at <= now:
            change = self.pending.pop(0)
            self.status = change.status or self.status
            self.quality = change.quality or self.quality
            self.trusted = self.trusted or change.trusted
            if change.restart:
                self.round, self.sent, self.verdict = self.round + 1, 0, None

    def forget_plans(self) -> None:
        """What was still to come of pacing does not come any more."""
        for change in self.pending:
            change.void = True
        self.pending.clear()
        self.sent, self.verdict = 0, None

    def node(self) -> dict[str, Any]:
        """All fields as Graph names them."""
        return {
            "id": str(self.id),
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "quality_score": {"score": self.quality},
            "components": self.components,
            "parameter_format": "NAMED" if self.shape.named else "POSITIONAL",
            "rejected_reason": self.rejected_reason,
            "previous_category": self.previous_category,
        }


class Registry:
    """Templates by name and language. Empty: every template is known, as long as nobody says which there are."""

    def __init__(self, templates: Iterable[Template] = ()) -> None:
        self._all = list(templates)
        self._by_name: dict[str, list[Template]] = {}
        for template in self._all:
            self._by_name.setdefault(template.name, []).append(template)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Template]:
        return iter(self._all)

    def named(self, name: str) -> list[Template]:
        return self._by_name.get(name, [])

    def find(self, name: str, language: str) -> Template | None:
        """The template to send; None when every template is known; raises GraphError when this one is not."""
        for template in self._by_name.get(name, ()):
            if template.any_language or template.language == language:
                return template
        if not self._all:
            return None
        raise GraphError(132001, f"template name ({name:.60}) does not exist in {language:.20}")

    def page(self, query: Mapping[str, str], *, url: str, now: int) -> dict[str, Any]:
        """One page of the list as Graph gives it; `query` may hold fields, limit, after, name, status, language, category.

        `url` is where this was asked, without its query. Raises GraphError for what Graph does not take.
        """
        names = query.get("fields")
        fields = DEFAULT_FIELDS if names is None else tuple(name.strip() for name in names.split(","))
        for name in fields:
            if name not in FIELDS:
                raise GraphError(100, f"Tried accessing nonexisting field ({name:.40})")
        limit = _whole(query.get("limit", str(DEFAULT_LIMIT)), "limit")
        start = _decode(query["after"]) if query.get("after") else 0
        found = [template for template in self._all if _matches(template, query)]
        shown = found[start : start + limit]
        for template in shown:
            template.settle(now)
        wanted = dict.fromkeys((*fields, "id"))
        answer: dict[str, Any] = {
            "data": [
                {name: value for name, value in template.node().items() if name in wanted}
                for template in shown
            ]
        }
        if shown:
            end = start + len(shown)
            answer["paging"] = {"cursors": {"before": _encode(start), "after": _encode(end)}}
            if end < len(found):
                kept = {key: value for key, value in query.items() if key not in ("after", "before")}
                pairs = {**kept, "limit": str(limit), "after": _encode(end)}
                answer["paging"]["next"] = f"{url}?{urlencode(pairs)}"
        return answer


def _matches(template: Template, query: Mapping[str, str]) -> bool:
    return all(
        name not in query or getattr(template, name).lower() == query[name].lower()
        for name in ("name", "status", "language", "category")
    )


def _whole(text: str, name: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LONGEST_PAGE:
        raise GraphError(100, f"The parameter {name} must be a whole number from 1 to {LONGEST_PAGE}")
    return int(text)


def _encode(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise GraphError(100, "Invalid cursor") from error
    if not text.isdecimal():
        raise GraphError(100, "Invalid cursor")
    return int(text)
