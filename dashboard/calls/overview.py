"""The installation at a glance, and the list of experiments."""

from typing import Final

from dashboard.client import Client
from dashboard.overview import Cards, Overview, read_cards, read_overview
from dashboard.reading import Unreadable

PAGE: Final = 20
MOST_NAMES: Final = 100


def overview(client: Client) -> Overview:
    """Everything that the first page shows, in one answer. Raises ApiError."""
    path = "/v1/overview"
    try:
        return read_overview(client.get(path))
    except Unreadable as error:
        raise client.unreadable(path) from error


def cards(client: Client, *, status: str = "", search: str = "", cursor: str = "") -> Cards:
    """A page of experiments, newest first; an empty filter is none. Raises ApiError."""
    path = "/v1/overview/experiments"
    asked = {"status": status, "search": search, "cursor": cursor}
    params: dict[str, str | int] = {"limit": PAGE, **{name: value for name, value in asked.items() if value}}
    try:
        return read_cards(client.get(path, params=params))
    except Unreadable as error:
        raise client.unreadable(path) from error


def names_of_live(client: Client) -> dict[str, str]:
    """Key and name of the newest experiments that are not over, at most `MOST_NAMES` of each state. Raises ApiError."""
    found: dict[str, str] = {}
    for status in ("running", "paused", "draft"):
        page = client.get("/v1/overview/experiments", params={"status": status, "limit": MOST_NAMES})
        found |= {card.key: card.name for card in read_cards(page).items}
    return found
