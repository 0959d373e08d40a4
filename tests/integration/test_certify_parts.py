"""Parts of `make certify` at tiny sizes, what they compute against production, and the choice of parts."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.files.file_facts import open_file
from analysis.files.file_metrics import parse_metrics
from benchmarks import certify, certify_adjusted, certify_guardrails, certify_tempting, certify_waves
from benchmarks.claims import QUICK, Claim, Findings, Grid
from benchmarks.simulation import Twin

TINY = replace(QUICK, runs=120, coverage_runs=800, quantile_runs=80)


def nothing() -> None:
    pass


def test_guardrails_are_cleared_as_a_report_clears_them(monkeypatch):
    monkeypatch.setattr(certify_guardrails, "CHECKED", 1.0)
    monkeypatch.setattr(certify_guardrails, "USERS", (200, 2000))
    monkeypatch.setattr(certify_guardrails, "PLANNED_LOOKS", (1, 5))
    monkeypatch.setattr(certify_guardrails, "RATES", (0.005,))
    monkeypatch.setattr(certify_guardrails, "UNEVEN_RATES", (0.005,))
    monkeypatch.setattr(certify_guardrails, "UNEVEN_LOOKS", (5,))
    findings = Findings()
    certify_guardrails.cleared_wrongly(TINY, 1, findings, nothing)
    certify_guardrails.uneven(TINY, 1, findings, nothing)
    assert [claim.met for claim in findings.claims] == [True, True, True]
    assert findings.grids[0].columns == ["200 per arm at the end", "2000 per arm at the end"]

    def eager(*args, **options):
        return np.ones(np.broadcast_shapes(*(np.shape(each) for each in args)), dtype=bool)

    monkeypatch.setattr(certify_guardrails, "is_surely_below", eager)
    with pytest.raises(Twin, match="guardrail, look"):
        certify_guardrails.cleared_wrongly(TINY, 1, Findings(), nothing)


def test_clearing_by_spending_finds_more_than_the_e_process():
    findings = Findings()
    certify_guardrails.power(replace(TINY, runs=400), 1, findings, nothing)
    shares = np.array([[float(cell) for cell in cells] for _, cells in findings.grids[0].rows])
    assert (shares[:, 1] > shares[:, 0]).all()
    assert (shares[:, 2] >= shares[:, 1] - 0.05).all()


@pytest.mark.parametrize("part", ["capped", "covariates", "factors", "clustered", "reached"])
def test_adjusted_outcomes_are_covered(part):
    findings = Findings()
    getattr(certify_adjusted, part)(TINY, 1, findings, nothing)
    assert findings.claims
    assert all(claim.met is not False for claim in findings.claims)


def test_broadcasts_in_waves(monkeypatch):
    findings = Findings()
    monkeypatch.setattr(certify_waves, "ALIKE", certify_waves.ALIKE[:1])
    monkeypatch.setattr(certify_waves, "BETTER", certify_waves.BETTER[4:5])
    monkeypatch.setattr(certify_waves, "WORSE", certify_waves.WORSE[:1])
    certify_waves.waves(TINY, 1, findings, nothing)
    alike, better = findings.claims
    assert alike.met
    assert better.met is None
    rows = [[float(cell.rstrip(" %")) for cell in cells] for _, cells in findings.grids[0].rows]
    assert [sum(row) for row in rows] == pytest.approx([100] * 3, abs=0.1)
    # Of two equal arms the control leads in half of the runs; of one that is worse it nearly always does.
    assert rows[0][2] == pytest.approx(50, abs=15)
    assert rows[1][2] < 10
    assert rows[2][2] > 70


def test_looks_that_come_because_of_what_was_seen():
    findings = Findings()
    certify_tempting.tempting(replace(TINY, runs=2000), 1, findings, nothing)
    found = {
        (claim.claim.split(":")[0], "once" in claim.claim): float(claim.obtained.split()[0])
        for claim in findings.claims
    }
    assert len(found) == 6
    assert all(claim.met is not False for claim in findings.claims)
    assert found["spending", True] > 5.5, "asked for a report at the best moment, spending errs too often"
    assert found["exact", True] < 3


def test_quantiles_of_rows_are_those_of_a_file(tmp_path: Path):
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(300), rng.integers(1, 7, size=300))
    values = np.exp(rng.normal(size=300)[owner] + rng.normal(size=len(owner)))
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["arm", "user", "spend"])
        rows.writerows(
            ["A" if user % 2 else "B", f"u{user}", repr(float(value))]
            for user, value in zip(owner, values, strict=True)
        )
    with open_file(path) as facts:
        metrics = parse_metrics(["p=quantile:spend@0.7"], {}, facts.columns)
        facts.load(metrics, variant="arm", unit="user")
        theirs = facts.aggregates(metrics)["A"]["p"]
    mine = owner % 2 == 1
    ours = certify_adjusted.quantile_of_rows(values[mine], owner[mine], 0.7)
    assert (theirs.n, theirs.units, theirs.lower, theirs.upper) == (
        ours.n,
        ours.units,
        ours.lower,
        ours.upper,
    )
    assert (theirs.value, theirs.z) == (pytest.approx(ours.value), pytest.approx(ours.z))


def test_only_some_parts_and_never_a_page(tmp_path: Path, capsys):
    ran: list[str] = []
    claim = Claim(topic="t", claim="c", bar="b", obtained="o", error="e", runs="r", met=None)

    def part(name):
        def run(size, seed, findings, advance):
            ran.append(name)
            findings.claims.append(claim)
            advance()

        return (name, run, 1)

    def parts(size):
        return [part("guardrails, cleared"), part("guardrails, power"), part("power")]

    page = tmp_path / "page.md"
    assert certify.main(["--quick", "--only", "guardrails", "--processes", "1"], parts=parts) == 0
    assert ran == ["guardrails, cleared", "guardrails, power"]
    assert (
        certify.main(
            ["--only", "guardrails, p", "--only", "power", "--processes", "1"], parts=parts, page=page
        )
        == 0
    )
    assert ran[2:] == ["guardrails, power", "power"]
    assert not page.exists(), "a page has all claims or is not written"
    for arguments, said in (
        (["--only", "guardrails", "--out", str(page)], "leave out --out"),
        (["--only", "nobody"], "no part begins with 'nobody'"),
    ):
        with pytest.raises(SystemExit):
            certify.main(arguments, parts=parts, page=page)
        assert said in capsys.readouterr().err
    assert not page.exists()


def test_a_part_measured_again_has_its_rows_of_the_page(tmp_path: Path, capsys):
    met = {"good": True, "bad": False, "never": False}
    found = {"good": "one | two", "bad": "three", "never": "four"}

    def part(name):
        def run(size, seed, findings, advance):
            claim = Claim(
                topic="t", claim=name, bar="b", obtained=found[name], error="", runs="r", met=met[name]
            )
            findings.claims.append(claim)
            findings.grids.append(
                Grid(title=f"cells of {name}", corner="c", columns=["x"], rows=[("y", [found[name]])])
            )
            advance()

        return (name, run, 1)

    def parts(size):
        return [part(name) for name in found]

    page = tmp_path / "page.md"
    assert certify.main(["--processes", "1"], parts=parts, page=page) == 1
    before = page.read_text()
    found |= {"bad": "five", "good": "six"}
    met |= {"bad": True, "good": False}
    again = ["--only", "bad", "--only", "good", "--again", "--processes", "1"]
    assert certify.main(again, parts=parts, page=page) == 1
    expected = tmp_path / "expected.md"
    assert certify.main(["--processes", "1"], parts=parts, page=expected) == 1
    said = "Measured again since that run, alone: good, bad."
    whole = expected.read_text().replace("How to read it.", f"{said}\n\nHow to read it.", 1)
    # Misses that come anew stand below those of before.
    assert sorted(page.read_text().splitlines()) == sorted(whole.splitlines())
    assert page.read_text().index("## Misses") < page.read_text().index("- **t: good** (six;")
    assert "- **t: bad**" in before
    assert "- **t: bad**" not in page.read_text()
    assert certify.main(again, parts=parts, page=page) == 1
    assert page.read_text().count(said) == 1
    page.write_text(before.replace("| never |", "| ever |"))
    with pytest.raises(ValueError, match=r"no row .* never .* under"):
        certify.main(["--only", "never", "--again", "--processes", "1"], parts=parts, page=page)
    for arguments in (["--again"], ["--quick", "--only", "bad", "--again"]):
        with pytest.raises(SystemExit):
            certify.main(arguments, parts=parts, page=page)
        assert "--again is for full runs" in capsys.readouterr().err


def first(size, seed, findings, advance):
    _draw("first", seed, findings)
    advance()


def second(size, seed, findings, advance):
    _draw("second", seed, findings)
    advance()


def broken(size, seed, findings, advance):
    raise Twin("not as in production")


def _draw(name, seed, findings):
    drawn = np.random.default_rng([seed, len(name)]).normal()
    findings.claims.append(
        Claim(topic=name, claim="c", bar="b", obtained=repr(drawn), error="e", runs="r", met=None)
    )


@pytest.mark.slow
def test_the_page_is_the_same_whatever_the_number_of_processes(tmp_path: Path):
    def parts(size):
        # `withdrawals` must not run beside the others, and keeps its place on the page.
        return [
            ("first", first, 1),
            ("withdrawals", second, 1),
            ("last", second, 1),
            ("first again", first, 1),
        ]

    pages = []
    for processes in ("1", "2"):
        page = tmp_path / f"{processes}.md"
        arguments = ["--quick", "--processes", processes, "--out", str(page)]
        assert certify.main(arguments, parts=parts) == 0
        pages.append(page.read_text())
    assert pages[0] == pages[1]
    assert pages[0].index("## First") < pages[0].index("## Second")


@pytest.mark.slow
def test_what_one_process_raises_ends_the_run(tmp_path: Path):
    page = tmp_path / "page.md"
    with pytest.raises(Twin, match="not as in production"):
        certify.main(
            ["--quick", "--processes", "2", "--out", str(page)],
            parts=lambda size: [("first", first, 1), ("broken", broken, 1), ("last", second, 1)],
        )
    assert not page.exists()
