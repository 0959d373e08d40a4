"""What is done to a running experiment. Every function raises ApiError, with the API's own words when it refuses."""

from collections.abc import Mapping
from typing import Any

from dashboard.calls.experiment import path_of
from dashboard.client import Client


def ship(client: Client, key: str, *, variant: str, force: bool, reason: str) -> None:
    """Give a variant to the rest of the audience and to everybody who comes; without `force` only the winner of the report."""
    body = {"variant": variant, "force": force, **({"reason": reason} if reason else {})}
    client.send("POST", path_of(key, "ship"), json=body)


def set_weights(
    client: Client, key: str, *, weights: Mapping[str, float], reason: str, hold: bool | None
) -> None:
    """Other weights for users who come from now on; `hold`: whether a bandit leaves them alone (None: as before)."""
    client.send(
        "POST", path_of(key, "weights"), json={"weights": dict(weights), "reason": reason, "hold": hold}
    )


def resume_bandit(client: Client, key: str, *, reason: str) -> None:
    client.send("POST", path_of(key, "allocation", "resume"), json={"reason": reason})


def add_variant(
    client: Client, key: str, *, variant: Mapping[str, Any], share: float | None, reason: str
) -> None:
    """`share` of new users that it gets; None: even among all."""
    body = {"variant": dict(variant), "share": share, "reason": reason}
    client.send("POST", path_of(key, "variants"), json=body)


def retire(client: Client, key: str, variant: str, *, cancel: bool, reason: str) -> None:
    """Nobody new gets it; what is planned for those who have it is cancelled, or kept."""
    body = {"planned": "cancel" if cancel else "keep", "reason": reason}
    client.send("POST", path_of(key, "variants", variant, "retire"), json=body)


def release(client: Client, key: str, variant: str, *, restore: bool, reason: str) -> None:
    """Let a variant go on that a guardrail has stopped; what was cancelled is planned again, or stays cancelled."""
    body = {"planned": "restore" if restore else "leave", "reason": reason}
    client.send("POST", path_of(key, "variants", variant, "release"), json=body)


def ramp(client: Client, key: str, *, coverage: float) -> None:
    """Let a larger share of the audience take part."""
    client.send("POST", path_of(key, "ramp"), json={"coverage": coverage})
