"""The installation at a glance: alerts, experiments as a list shows them, the messages of the day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from dashboard import values
from dashboard.documents import Report
from dashboard.reading import Unreadable, read_report

PAGES: Final = {
    "delivery_paused": "delivery",
    "breaker_open": "delivery",
    "books_broken": "delivery",
    "sending_stopped": "delivery",
    "quality_red": "delivery",
    "quality_yellow": "delivery",
    "rules_parked": "rules",
}
"""Where an alert that is of no experiment is looked into, by its kind."""
PARTS: Final = {
    "guardrail_breached": "metrics",
    "variant_stopped": "traffic",
    "books_broken": "messages",
}
"""The part of the page of an experiment that says more about an alert, by its kind; the first one where none is named."""


@dataclass(frozen=True, slots=True)
class Alert:
    """`is_red`: sending, or trusting a result, is not safe; else somebody should look. `experiment` is empty for the installation."""

    kind: str
    is_red: bool
    experiment: str
    name: str
    subject: str
    detail: str
    at: datetime | None

    @property
    def page(self) -> str | None:
        """The file of the page that says more."""
        return "result" if self.experiment else PAGES.get(self.kind)

    @property
    def address(self) -> Mapping[str, str]:
        """What the address of that page says."""
        if not self.experiment:
            return {}
        part = PARTS.get(self.kind)
        return {"experiment": self.experiment, **({"show": part} if part else {})}


@dataclass(frozen=True, slots=True)
class Card:
    """An experiment in a list. `report`: what its newest kept report says of the primary metric; `is_old`: there should be a newer."""

    key: str
    name: str
    status: str
    policy: str
    started_at: datetime | None
    stopped_at: datetime | None
    is_held: bool
    shipped: str | None
    stopped_variants: tuple[str, ...]
    report: Report | None
    is_old: bool


@dataclass(frozen=True, slots=True)
class Today:
    """Messages and people of the last 24 hours. `people_limit`: None when no bound is known; `caps`: messages a person by day, week, month."""

    messages: int
    people: int
    people_limit: int | None
    caps: Mapping[str, int]
    due: int
    workers: int
    paused: bool
    quality: str


@dataclass(frozen=True, slots=True)
class Overview:
    at: datetime | None
    alerts: tuple[Alert, ...]
    alerts_left_out: int
    live: tuple[Card, ...]
    not_looked_at: int
    counts: Mapping[str, int]
    today: Today


@dataclass(frozen=True, slots=True)
class Cards:
    """A page of the list; `next_cursor` is empty on the last. `counts`: experiments by state, by the same search."""

    items: tuple[Card, ...]
    next_cursor: str
    counts: Mapping[str, int]


def read_overview(document: Any) -> Overview:
    """Raises Unreadable when `document` is no overview at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("alerts"), list):
        raise Unreadable("it is not an overview")
    known = values.counts(document)
    return Overview(
        at=values.moment(document.get("at")),
        alerts=tuple(_alert(alert) for alert in values.mappings(document["alerts"])),
        alerts_left_out=known.get("alerts_left_out", 0),
        live=tuple(_card(card) for card in values.mappings(document.get("live"))),
        not_looked_at=known.get("not_looked_at", 0),
        counts=values.counts(document.get("counts")),
        today=_today(values.mapping(document.get("delivery"))),
    )


def read_cards(document: Any) -> Cards:
    """Raises Unreadable when `document` is no list at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("items"), list):
        raise Unreadable("it is not a list")
    return Cards(
        items=tuple(_card(card) for card in values.mappings(document["items"])),
        next_cursor=values.text(document.get("next_cursor")),
        counts=values.counts(document.get("counts")),
    )


def _alert(document: Mapping[str, Any]) -> Alert:
    return Alert(
        kind=values.text(document.get("kind")),
        is_red=document.get("severity") != "amber",
        experiment=values.text(document.get("experiment")),
        name=values.text(document.get("name")) or values.text(document.get("experiment")),
        subject=values.text(document.get("subject")),
        detail=values.text(document.get("detail")),
        at=values.moment(document.get("at")),
    )


def _card(document: Mapping[str, Any]) -> Card:
    key, report = values.text(document.get("key")), values.mapping(document.get("report"))
    return Card(
        key=key,
        name=values.text(document.get("name")) or key,
        status=values.text(document.get("status")) or "unknown",
        policy=values.text(document.get("policy")) or "fixed",
        started_at=values.moment(document.get("started_at")),
        stopped_at=values.moment(document.get("stopped_at")),
        is_held=bool(document.get("held_at")),
        shipped=values.text(document.get("shipped")) or None,
        stopped_variants=values.texts(document.get("stopped_variants")),
        report=read_report(report, design={}) if isinstance(report.get("arms"), list) else None,
        is_old=document.get("report_old") is True,
    )


def _today(document: Mapping[str, Any]) -> Today:
    known = values.counts(document)
    return Today(
        messages=known.get("messages", 0),
        people=known.get("people", 0),
        people_limit=known.get("people_limit"),
        caps=values.counts(document.get("marketing")),
        due=known.get("due", 0),
        workers=known.get("workers", 0),
        paused=document.get("paused") is True,
        quality=values.text(document.get("quality")),
    )
