"""Whose a rule is: keys that begin with `experiment.` are those of the rules that experiments put in place."""

from typing import Final

from experiments.errors import Conflict

PREFIX: Final = "experiment."
LONGEST_EXPERIMENT: Final = 63 - len(PREFIX)
"""Characters of the key of an experiment that has a rule of its own."""


def key_for(experiment: str) -> str:
    """The key of the rule of an experiment."""
    return f"{PREFIX}{experiment}"


def owner_of(key: str) -> str | None:
    """The experiment that a rule belongs to; None for a rule of its own right.

    >>> owner_of("experiment.win-back"), owner_of("win-back")
    ('win-back', None)
    """
    return key.removeprefix(PREFIX) if key.startswith(PREFIX) else None


def check_free(key: str) -> None:
    """Raise Conflict when the rule belongs to an experiment, which alone changes and switches it."""
    owner = owner_of(key)
    if owner is not None:
        raise Conflict(
            f"rule {key!r} belongs to experiment {owner!r}: start, pause, resume or stop that; a pause and a resume clear an "
            "error too",
            field="key",
        )
