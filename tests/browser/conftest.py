"""A browser for all tests of this folder, which run one after the other: two of them would only make each other slow."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser import browsing
from tests.browser.stage import Stage, fill, installation

HERE = Path(__file__).parent
PEOPLE = 700


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = pytest.mark.skip(reason="not run: no Chromium on this machine (make browser)")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
            if browsing.CHROMIUM is None:
                item.add_marker(absent)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsing.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An installation after a campaign of two weeks; its clock has slowed down."""
    with installation(tmp_path_factory.mktemp("filled"), seconds=8) as stage:
        fill(stage, people=PEOPLE)
        yield stage


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An installation with nobody in it."""
    with installation(tmp_path_factory.mktemp("empty"), days=1, seconds=86_400) as stage:
        yield stage
