"""What requests of several areas share: a page of a list."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.client import Client


def page_of(
    client: Client, path: str, params: Mapping[str, str | Sequence[str]], *, limit: int
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Items of a list, and the cursor of the next page. Parameters that are empty are not sent."""
    sent = {name: value for name, value in params.items() if value}
    answer = client.get(path, params={"limit": limit, **sent})
    items = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(items, list):
        raise client.unreadable(path)
    following = answer.get("next_cursor")
    return [item for item in items if isinstance(item, Mapping)], str(following) if following else None
