"""Every setting, route and fault of the simulator is on its page."""

import re
from dataclasses import fields
from pathlib import Path

from delivery.simulator.behaviour import Silence, Treatment
from delivery.simulator.config import Delays, Faults, SimulatorConfig
from delivery.simulator.fault_plan import Fault
from delivery.simulator.profile import Engagement, Limits, Pacing, Telling
from delivery.simulator.server import build_app

PAGE = (Path(__file__).parents[2] / "docs/simulator.md").read_text(encoding="utf-8")
SKIPPED = {"parameters", "language", "category"}  # explained with the world's `templates`


def test_every_setting_is_documented():
    kinds = (SimulatorConfig, Limits, Engagement, Pacing, Telling, Faults, Delays, Silence, Treatment)
    names = {item.name for kind in kinds for item in fields(kind)} - SKIPPED
    without_blocks = re.sub("```.*?```", "", PAGE, flags=re.DOTALL)
    code = set(re.findall(r"\w+", " ".join(re.findall("`[^`]+`", without_blocks))))
    assert names - code == set()


def test_every_route_is_documented():
    paths = {route.path for route in build_app(SimulatorConfig()).routes} - {"/healthz"}
    shown = {path.replace("{node}", "{phone_number_id}") for path in paths}
    shown = {path.replace("{phone_number_id}/message_t", "{waba_id}/message_t") for path in shown}
    assert [path for path in sorted(shown) if path not in PAGE] == []


def test_every_fault_is_documented():
    assert [fault for fault in Fault if f"`{fault}`" not in PAGE] == []
