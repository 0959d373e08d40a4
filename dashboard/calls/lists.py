"""What requests of several areas share: a page of a list."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import values
from dashboard.client import Client


def page_of(
    client: Client, path: str, params: Mapping[str, str | Sequence[str]], *, limit: int
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Items of a list, and the cursor of the next page. Parameters that are empty are not sent."""
    sent = {name: value for name, value in params.items() if value}
    answer = values.mapping(client.get(path, params={"limit": limit, **sent}))
    if not isinstance(answer.get("items"), list):
        raise client.unreadable(path)
    return values.mappings(answer["items"]), values.text(answer.get("next_cursor")) or None
