"""`touchstone` as a person types it: run in this process, with what it printed and how it ended."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.cli import main


@dataclass(frozen=True)
class Run:
    returncode: int
    stdout: str
    stderr: str


class CommandLine:
    """Runs `touchstone` in this process, over one SQLite file in one folder, as the installed script would."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        for name in [name for name in os.environ if name.startswith("TOUCHSTONE_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("TOUCHSTONE_DATABASE_URL", f"sqlite:///{folder}/touchstone.db")

    def __call__(self, *arguments: str, **settings: str) -> Run:
        with self._monkeypatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["touchstone", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert isinstance(code, int)
        return Run(code, *self._capsys.readouterr())

    def fails(self, *arguments: str, **settings: str) -> str:
        """The one line that a failing command says."""
        run = self(*arguments, **settings)
        assert run.returncode == 1, run.stdout + run.stderr
        assert run.stderr.startswith("touchstone: ")
        assert run.stderr.count("\n") == 1, run.stderr
        return run.stderr
