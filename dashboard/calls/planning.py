"""What the pages Planner and Simulation ask of the API. Nothing is stored by any of it."""

from collections.abc import Mapping
from typing import Any, Final

from dashboard.client import Client
from dashboard.reading import Unreadable
from dashboard.simulated import Simulated, read_simulated
from dashboard.sizes import Size, read_size

PATIENCE: Final = 120.0
"""Seconds: a simulation takes ten of processor time, on a machine that may have other work."""


def size(client: Client, question: Mapping[str, Any]) -> Size:
    """How many users a comparison needs, without a campaign. Raises ApiError."""
    path = "/v1/plan/size"
    try:
        return read_size(client.ask("POST", path, json=question))
    except Unreadable as error:
        raise client.unreadable(path) from error


def simulate(client: Client, question: Mapping[str, Any], *, policy: str) -> Simulated:
    """A campaign in a made-up world, under one policy. Raises ApiError."""
    path, asked = "/v1/simulate", {**question, "policies": [policy]}
    try:
        return read_simulated(client.ask("POST", path, json=asked, timeout=PATIENCE))
    except Unreadable as error:
        raise client.unreadable(path) from error
