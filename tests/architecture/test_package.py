"""The built wheel holds everything that runs; an editable install would hide a missing file."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("api", "experiments", "targeting", "delivery", "analysis", "dashboard")


def test_the_wheel_runs_on_its_own(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    wanted = {
        str(path.relative_to(ROOT))
        for floor in FLOORS
        for path in (ROOT / floor).rglob("*")
        if path.is_file() and path.suffix in {".py", ".yaml", ".mako", ".html", ".css"}
    }
    assert wanted - {str(path.relative_to(target)) for path in target.rglob("*")} == set()
    run = subprocess.run(
        [sys.executable, "-m", "api", "migrate"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(target),
            "TOUCHSTONE_DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    newest = max(path.name for path in (ROOT / "api/migrations/versions").glob("*.py")).partition("_")[0]
    assert (run.returncode, run.stdout) == (0, f"database is at revision {newest}\n"), run.stderr
    where = subprocess.run(
        [sys.executable, "-c", "import api; print(api.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(target))
