"""Whole webhooks, stored and projected: any order, repetition, batching and timing end in the same rows."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property import webhook_worlds as worlds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    folder = tmp_path_factory.mktemp("webhooks")
    worlds.build(folder / "world.db", sqlite_template)
    return folder


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_order_repetition_batching_and_timing_do_not_matter(folder: Path, data: st.DataObject) -> None:
    said = data.draw(worlds.changes())
    plain = [worlds.body_of([change]) for change in said]
    one = worlds.outcome(folder, plain, projected_after=range(len(plain)), answered_after=0)
    mixed = data.draw(worlds.deliveries(said))
    looks = data.draw(st.sets(st.integers(0, len(mixed)), max_size=4))
    commit = data.draw(st.integers(0, len(mixed)))
    assert one == worlds.outcome(folder, mixed, projected_after=sorted(looks), answered_after=commit)
