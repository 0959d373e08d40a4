"""What is asked about one experiment. Every function raises ApiError."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from dashboard import values
from dashboard.calls.lists import page_of
from dashboard.client import Client
from dashboard.course import Point, Slices, read_course, read_slices
from dashboard.documents import Experiment, Report
from dashboard.reading import Unreadable, read_report
from dashboard.traffic import Traffic, read_traffic

T = TypeVar("T")

WHATEVER_IS_KEPT: Final = 1_000_000_000
"""Seconds: the newest kept report will do, however old it is."""
EVERY_LOOK: Final = 120
"""Looks on a picture; of more the API leaves some out evenly."""
NEWEST: Final = 100
"""Epochs and slots of a bandit."""
MOST_ATTRIBUTES: Final = 200
PAGE: Final = 20
FORMATS: Final = {"html": "text/html", "csv": "text/csv", "json": "application/json"}


def path_of(key: str, *parts: str) -> str:
    return "/".join(["/v1/experiments", quote(key, safe=""), *(quote(part, safe="") for part in parts)])


def report(client: Client, experiment: Experiment, *, max_age: int) -> Report:
    """The newest kept report, if it is no older than `max_age` seconds; else a new look is made and kept."""
    path = path_of(experiment.key, "report")
    document = client.get(path, params={"max_age": max_age})
    return _read(client, path, lambda: read_report(document, design=experiment.design))


def course(client: Client, key: str, *, metric: str) -> list[Point]:
    """What the kept reports said of one metric, oldest first."""
    path = path_of(key, "report", "series")
    document = client.get(path, params={"metric": metric, "most": EVERY_LOOK})
    return _read(client, path, lambda: read_course(document))


def slices(client: Client, key: str, *, by: str) -> Slices:
    """The newest kept report by slice of its users."""
    path = path_of(key, "report", "segments")
    document = client.get(path, params={"by": by, "max_age": WHATEVER_IS_KEPT})
    return _read(client, path, lambda: read_slices(document))


def attributes(client: Client) -> list[str]:
    """The attributes by which users can be sliced, as last discovered."""
    page = client.get("/v1/attributes", params={"limit": MOST_ATTRIBUTES})
    found = values.mappings(values.mapping(page).get("items"))
    return [
        values.text(item.get("name"))
        for item in found
        if item.get("kind") in {"text", "number", "boolean"} and "." not in values.text(item.get("name"))
    ]


def traffic(client: Client, key: str) -> Traffic:
    path = path_of(key, "allocation")
    document = client.get(path, params={"limit": NEWEST})
    return _read(client, path, lambda: read_traffic(document))


def enrolment(client: Client, key: str) -> Mapping[str, Any]:
    """Who was assigned, and why others were not, as the API counts it."""
    return values.mapping(client.get(path_of(key, "enrolment")))


def kept_reports(client: Client, key: str, *, cursor: str = "") -> tuple[list[Mapping[str, Any]], str]:
    """The kept reports, newest first, and where the next page begins (empty: nowhere)."""
    return _page(client, path_of(key, "reports"), cursor)


def audit(client: Client, key: str, *, cursor: str = "") -> tuple[list[Mapping[str, Any]], str]:
    """Who changed what about the experiment, newest first, and where the next page begins (empty: nowhere)."""
    return _page(client, "/v1/audit", cursor, subject_kind="experiment", subject_key=key)


def download(client: Client, key: str, kind: str, *, by: str = "") -> bytes:
    """The newest kept report as a file: html, csv or json; with its slices where `by` names an attribute."""
    name = "report" if kind == "json" else f"report.{kind}"
    params: dict[str, str | int] = {"max_age": WHATEVER_IS_KEPT}
    if by and kind != "json":
        params["by"] = by
    return client.send("GET", path_of(key, name), params=params).content


def kept_report(client: Client, key: str, number: int) -> bytes:
    """One kept report with everything it was made from: what `touchstone replay` takes."""
    return client.send("GET", path_of(key, "reports", str(number))).content


def _page(client: Client, path: str, cursor: str, **params: str) -> tuple[list[Mapping[str, Any]], str]:
    items, following = page_of(client, path, {**params, "cursor": cursor}, limit=PAGE)
    return items, following or ""


def _read(client: Client, path: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except Unreadable as error:
        raise client.unreadable(path) from error
