"""The benchmarks and the certification run, at tiny sizes; what they measure is not judged here."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.spending import spending_boundaries
from benchmarks import (
    analysis_speed,
    certify,
    certify_bandits,
    certify_exact,
    certify_joint,
    certify_peeking,
    dashboard_speed,
    run,
    segments_speed,
    simulation,
    targeting_speed,
    webhook_speed,
)
from benchmarks.certify_page import page_of
from benchmarks.claims import QUICK, Claim, Findings, at_most
from benchmarks.figures import BENCHMARKS, ON_REQUEST, Figure

TINY = replace(QUICK, runs=60, rates=(0.02, 0.3), users=(200,), looks=(1, 5))


@pytest.mark.slow
def test_two_cheap_benchmarks_give_figures(capsys):
    said = []
    figures = [
        *targeting_speed.bucketing(said.append, users=500, checked=200),
        *webhook_speed.webhooks(said.append, messages=200, closed=200),
    ]
    assert len(said) == 5
    assert all(figure.figure > 0 for figure in figures)
    assert "identical on 200 users" in figures[0].note
    run.console.print(run.table_of(figures))
    assert "webhook intake" in capsys.readouterr().out


@pytest.mark.slow
def test_segments_are_measured():
    figures = segments_speed.previews(lambda _text: None, users=300)
    assert len(figures) == 7
    assert all(figure.figure > 0 for figure in figures)


@pytest.mark.slow
def test_pages_of_the_dashboard_are_measured():
    said = []
    slowest, again, together, closed = dashboard_speed.pages(
        said.append, users=300, small=100, experiments=8, names={"home", "a user: story"}
    )
    assert min(slowest.figure, again.figure, together.figure, closed.figure) > 0
    assert closed.what.startswith("facts of 300 users")
    assert len(said) == 3 + 2
    assert any("GET /v1/overview" in text for text in said)
    assert {view.name for view in dashboard_speed.VIEWS} > dashboard_speed.QUICK


@pytest.mark.slow
def test_comparisons_and_tables_are_measured():
    at_once, alone = analysis_speed.comparisons(lambda _text: None, count=50, one_by_one=5)
    (table,) = analysis_speed.table_of_a_million(lambda _text: None, rows=2000, repeats=1)
    assert min(at_once.figure, alone.figure, table.figure) > 0
    assert "the ratio metric agrees" in table.note


def test_what_takes_very_long_runs_only_when_it_is_asked_for():
    ran = []

    def runner(name):
        ran.append(name)
        return []

    run.main([], runner=runner)
    assert ON_REQUEST.isdisjoint(ran)
    assert set(ran) == set(BENCHMARKS) - ON_REQUEST
    run.main(["report_whole"], runner=runner)
    assert ran[-1] == "report_whole"


def test_the_command_writes_json_and_knows_its_names(tmp_path):
    figure = Figure(what="nothing", figure=1.0, unit="/s", bar=">= 2/s", met=False)

    def runner(name):
        return "broke" if name == "report" else [figure]

    assert run.main(["bucketing", "--json", str(tmp_path / "a.json")], runner=runner) == 0
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["figures"] == [figure.to_json()]
    assert document["failed"] == []
    assert run.main(["report", "--json", str(tmp_path / "b.json")], runner=runner) == 1
    assert json.loads((tmp_path / "b.json").read_text())["failed"] == ["report"]
    with pytest.raises(SystemExit):
        run.main(["no-such-benchmark"])
    assert {"report", "dispatch", "planning", "tracking-single"} <= set(BENCHMARKS)


def test_one_cell_of_certification_agrees_with_production():
    findings = Findings()
    steps = []
    certify_peeking.false_positives(TINY, 1, findings, lambda: steps.append(1))
    certify_joint.joint(TINY, 1, findings, lambda: steps.append(1))
    assert len(steps) == certify_peeking.cells_of(TINY) + len(certify_joint.SETTINGS)
    assert {claim.topic for claim in findings.claims} == {"false positives", "joint coverage of all looks"}
    page = page_of(findings, TINY, seed=1)
    assert "60 a cell" in page
    assert page.count("### False positives") == len(certify_peeking.METHODS)


def test_the_exact_method_is_certified_on_the_same_path():
    findings = Findings()
    certify_exact.every_look(replace(TINY, rates=(0.02,)), 1, findings, lambda: None)
    certify_exact.coverage(TINY, 1, findings, lambda: None)
    assert [claim.met for claim in findings.claims] == [True, True]
    assert page_of(findings, TINY, seed=1).count("### False positives, exact") == 1
    nobody, many = np.zeros((1, 3), dtype=np.int64), np.array([[5, 20, 40]])
    for rival in (
        certify_exact.block_stream(nobody, many, 50),
        certify_exact.universal_inference(nobody, many, simulation.users_at(3, 50)),
    ):
        assert rival[0, -1] > np.log(20)
    assert certify_exact.block_stream(many, many, 50)[0].max() <= 1e-12


def test_the_other_library_is_given_the_same_floor():
    """With a floor of one half for each of two arms nothing is left to choose."""
    world = certify_bandits.world_of((0.05, 0.065), 50)
    even = replace(certify_bandits.BARE, floor=0.5)
    lost = certify_bandits.regret_of_mabwiser(world, 4, np.random.default_rng(1), policy=even)
    assert lost == pytest.approx(np.full(4, 0.5 * 0.015 * 50 * certify_bandits.INTERVALS), rel=0.15)
    waiting = replace(certify_bandits.BARE, burn_in_users=10_000)
    lost = certify_bandits.regret_of_mabwiser(world, 4, np.random.default_rng(1), policy=waiting)
    assert lost == pytest.approx(np.full(4, 0.5 * 0.015 * 50 * certify_bandits.INTERVALS), rel=0.15)


def test_a_miss_is_explained_only_by_what_is_its_cause(monkeypatch):
    """Ours loses more than the other library; the price of comparing within epochs is no excuse when pooling does not help."""
    spread = np.linspace(-1, 1, 50)

    def claim(pooled):
        monkeypatch.setattr(
            certify_bandits,
            "_ours",
            lambda *_, apart=True: certify_bandits._Lost(spread + (20 if apart else pooled)),
        )
        monkeypatch.setattr(certify_bandits, "_theirs", lambda *_: certify_bandits._Lost(spread + 15))
        return certify_bandits._stationary("w", certify_bandits.world_of((0.05, 0.1), 50), TINY, [1])

    assert claim(pooled=15).met is False
    assert "15.0" in claim(pooled=15).explained
    assert claim(pooled=20).explained == ""


@pytest.mark.slow
def test_bandits_are_certified_against_another_library():
    findings, world = Findings(), certify_bandits.slow_winner(50)
    lost = certify_bandits.regret_of_mabwiser(world, 3, np.random.default_rng(1))
    assert ((lost > 0) & (lost < 50 * certify_bandits.INTERVALS * 0.015)).all()
    assert certify_bandits.late(8, after=4)[:4].tolist() == [0, 0, 0, 0]
    certify_bandits.delayed(TINY, 1, findings, lambda: None)
    assert [claim.met for claim in findings.claims] == [True, True, None]


def test_a_twin_that_is_not_production_stops_the_run():
    rng = np.random.default_rng(1)
    x_c, x_t = (simulation.cumulative_counts(rng, 20, 5, 200, 0.3) for _ in range(2))
    p = simulation.p_values(x_c, x_t, simulation.users_at(5, 200))
    simulation.check(rng, "spending", 5, 200, x_c, x_t, p, 10)
    with pytest.raises(simulation.Twin):
        simulation.check(rng, "spending", 5, 200, x_c, x_t, p * 0.999, 10)


def test_levels_are_those_of_the_plan():
    level = simulation.levels("spending", 5, 100)
    bounds = spending_boundaries([0.2, 0.4, 0.6, 0.8, 1.0], 0.05)
    assert level == pytest.approx(2 * simulation.stats.norm.sf(bounds))


def test_a_miss_without_an_explanation_fails_the_run_and_is_on_the_page():
    missed = Claim(
        topic="t", claim="c", bar="b", obtained="o", error="e", runs="r", met=False, explained="known"
    )
    findings = Findings(claims=[missed, replace(missed, claim="new", explained="")])
    assert [claim.claim for claim in findings.unexplained] == ["new"]
    page = page_of(findings, TINY, seed=1)
    assert "**t: c** (o; bar b). known" in page
    assert "a defect until shown otherwise" in page


def test_the_command_ends_with_1_when_a_claim_fails(tmp_path):
    missed = Claim(topic="t", claim="c", bar="b", obtained="o", error="e", runs="r", met=False)

    def steps(claim):
        def part(size, seed, findings, advance):
            findings.claims.append(claim)
            advance()

        return lambda size: [("one", part, 1)]

    assert certify.main(["--quick", "--out", str(tmp_path / "page.md")], parts=steps(missed)) == 1
    assert "quick run" in (tmp_path / "page.md").read_text()
    assert certify.main(["--quick"], parts=steps(replace(missed, explained="known"))) == 0
    assert {name for name, _, _ in certify.parts_of(TINY)} >= {"power", "joint coverage", "agreement"}


def test_chance_is_allowed_for_and_no_more():
    assert 0.05 < at_most(0.05, 20_000) < 0.054
    assert at_most(0.05, 20_000) < at_most(0.05, 20_000, cells=100) < 0.057
