"""Where the command line prints: as wide as the terminal, and wide enough for a report where there is none."""

from typing import Final

from rich.console import Console

WIDTH_WITHOUT_TERMINAL: Final = 120


def make_console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr)."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH_WITHOUT_TERMINAL)


ACTOR: Final = "command line"
"""Who changed something, in the audit log, when it was done here."""
