"""The examples in the docstrings of the analysis are true."""

import doctest
import importlib
import pkgutil

import pytest

import analysis

MODULES = sorted(found.name for found in pkgutil.walk_packages(analysis.__path__, "analysis."))


def test_every_module_is_found():
    assert "analysis.stats.difference" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
