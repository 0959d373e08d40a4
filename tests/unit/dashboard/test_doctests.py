"""What docstrings of the dashboard show is what comes out."""

import doctest
import importlib
import pkgutil

import pytest

import dashboard

FINDER = doctest.DocTestFinder(exclude_empty=True)
NAMES = [found.name for found in pkgutil.walk_packages(dashboard.__path__, "dashboard.")]
SHOWN = {
    f"{name}:{test.name}": test
    for name in NAMES
    for test in FINDER.find(importlib.import_module(name))
    if test.examples
}


def test_there_are_examples_in_views_too() -> None:
    assert "dashboard.formats:dashboard.formats.percent" in SHOWN
    assert "dashboard.views.delivery:dashboard.views.delivery.per_minute" in SHOWN


@pytest.mark.parametrize("name", SHOWN)
def test_examples(name: str) -> None:
    assert doctest.DocTestRunner(verbose=False).run(SHOWN[name]).failed == 0
