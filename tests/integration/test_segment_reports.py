"""Reports by slice on both databases, against scipy and statsmodels on the users' own rows."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sqlmodel import select
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests

from analysis.reports.segment_findings import NO_SLICE_DIFFERS, SegmentReport
from analysis.reports.segment_reports import segment_report
from analysis.warehouse.export import export_facts
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from targeting.models import Assignment, User
from tests.integration.analysis_rows import DAY
from tests.integration.segmented import COUNTRIES, World, segmented
from tests.integration.test_report import look, start, stored, two_arms
from tests.integration.warehouse_rows import opened


def by(database: Database, clock: SteppedClock, name: str) -> SegmentReport:
    return segment_report(database, look(database, clock), by=name)


def arms(world: World, country: str) -> tuple[np.ndarray, np.ndarray]:
    return world.of("silence", country=country), world.of("coupon", country=country)


def test_slices_and_their_heterogeneity_come_from_the_users_rows(
    database: Database, clock: SteppedClock
) -> None:
    world = segmented(database, clock, lifts=(6.0, 0.0, 0.0))
    found = by(database, clock, "country")
    assert found.slices == ("BR", "NL", "US", "DE", "")
    (metric,) = found.metrics
    told = {each.slice: each for each in metric.slices}
    pairs = {country: arms(world, country) for country in COUNTRIES}
    p_values = [stats.ttest_ind(b, a, equal_var=False).pvalue for a, b in pairs.values()]
    adjusted = multipletests(p_values, method="holm")[1]
    for (country, (a, b)), p, after in zip(pairs.items(), p_values, adjusted, strict=True):
        effect = told[country].effect
        assert (told[country].n_control, told[country].n) == (len(a), len(b))
        assert effect.absolute is not None
        assert effect.absolute.estimate == pytest.approx(b.mean() - a.mean(), rel=1e-9)
        assert (effect.p_value, effect.adjusted_p_value) == (
            pytest.approx(p, rel=1e-6),
            pytest.approx(after, rel=1e-6),
        )
    assert [told[country].effect.significant for country in COUNTRIES] == [True, False, False]
    for small, n in (("DE", 30), ("", 20)):
        assert (told[small].n_control, told[small].n, told[small].effect.absolute) == (n, n, None)
        assert told[small].reasons == ("an arm has fewer than 100 users in this slice",)

    (differs,) = metric.heterogeneity
    reference = combine_effects(
        np.array([b.mean() - a.mean() for a, b in pairs.values()]),
        np.array([a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b) for a, b in pairs.values()]),
    ).test_homogeneity()
    assert (differs.slices, differs.degrees_of_freedom, differs.differs) == (3, 2, True)
    assert differs.q == pytest.approx(reference.statistic, rel=1e-9)
    assert differs.p_value_of_this_look == pytest.approx(reference.pvalue, rel=1e-9)
    assert differs.p_value == differs.p_value_of_this_look  # the fixed method looks once
    # Reading slices is no look: what is kept is the one report that they belong to.
    assert [(report.id, report.as_of) for report in stored(database)] == [(found.report, found.as_of)]


def test_an_effect_that_is_the_same_everywhere_differs_nowhere(
    database: Database, clock: SteppedClock
) -> None:
    world = segmented(database, clock, lifts=(4.0, 4.0, 4.0))
    (metric,) = by(database, clock, "country").metrics
    (differs,) = metric.heterogeneity
    assert (differs.differs, differs.says) == (False, NO_SLICE_DIFFERS)
    assert [each.effect.significant for each in metric.slices][:3] == [True] * 3
    found = by(database, clock, "day")
    assert found.slices == tuple(sorted(set(world.day)))
    for each in found.metrics[0].slices:
        assert each.n == ((world.day == each.slice) & (world.variant == "coupon")).sum()


def test_one_slice_of_all_users_says_what_the_report_says(database: Database, clock: SteppedClock) -> None:
    segmented(database, clock, lifts=(6.0, 0.0, 1.0), method="spending", after=7.5 * DAY)
    report = look(database, clock)
    found = segment_report(database, report, by="planet").to_json()
    (metric,) = found["metrics"]
    (only,) = metric["slices"]
    assert only["slice"] == "Earth"
    whole = report.body["metrics"][0]["effects"][0]
    for name in ("absolute", "relative", "p_value", "adjusted_p_value", "interval_adjusted"):
        assert only["effect"][name] == pytest.approx(whole[name], rel=1e-9), name
    for name in ("significant", "test", "variant", "control"):
        assert only["effect"][name] == whole[name]
    assert 0.5 < found["information"] < 0.7
    assert (found["method"], found["information"]) == (report.body["method"], report.body["information"])
    assert metric["heterogeneity"][0]["differs"] is None
    assert "fewer than two slices" in metric["heterogeneity"][0]["says"]


def test_who_comes_later_is_not_in_the_slices_of_a_kept_report(
    database: Database, clock: SteppedClock
) -> None:
    world = segmented(database, clock, lifts=(6.0, 0.0, 0.0), after=7.5 * DAY)
    report = look(database, clock)
    before = segment_report(database, report, by="country")
    clock.advance(30 * DAY)
    assert segment_report(database, report, by="country") == before
    now = by(database, clock, "country")
    assert sum(each.n for each in now.metrics[0].slices) == (world.variant == "coupon").sum()
    assert sum(each.n for each in before.metrics[0].slices) < (world.variant == "coupon").sum()


def test_a_copy_of_the_facts_has_no_attributes_and_the_database_tells_them(
    sqlite_url: str, clock: SteppedClock, tmp_path: Path
) -> None:
    database = Database(sqlite_url)
    segmented(database, clock, lifts=(6.0, 0.0, 0.0))
    report = look(database, clock)
    export_facts(database, clock, folder=tmp_path / "copy", format_="parquet", page=700)
    engine = opened(f"duckdb:///{tmp_path / 'copy'}")
    assert segment_report(database, report, by="country", facts=engine) == segment_report(
        database, report, by="country"
    )
    here, there = (segment_report(database, report, by="day", facts=facts) for facts in (None, engine))
    assert [each.n for each in here.metrics[0].slices] == [each.n for each in there.metrics[0].slices]
    assert here.metrics[0].heterogeneity[0].q == pytest.approx(there.metrics[0].heterogeneity[0].q)
    engine.dispose()
    database.dispose()


def test_what_cannot_be_told_is_said(database: Database, clock: SteppedClock) -> None:
    start(database, clock, two_arms())
    report = look(database, clock)
    nobody = segment_report(database, report, by="country")
    assert nobody.slices == ()
    assert "nobody's window has closed yet, so there is nothing to tell by slice" in nobody.warnings
    with pytest.raises(Invalid, match=r"by: .*is not the name of an attribute"):
        segment_report(database, report, by="a.b")
    report.inputs = None
    with pytest.raises(Conflict, match="report: "):
        segment_report(database, report, by="country")


@pytest.mark.parametrize("name", ["county", "tags"])
def test_an_attribute_that_nobody_has_is_refused(database: Database, clock: SteppedClock, name: str) -> None:
    segmented(database, clock, lifts=(0.0, 0.0, 0.0))
    with pytest.raises(Invalid, match=f"by: no user of this experiment has an attribute '{name}'"):
        by(database, clock, name)


def test_an_attribute_of_those_who_come_later_is_not_known_yet(
    database: Database, clock: SteppedClock
) -> None:
    segmented(database, clock, lifts=(0.0, 0.0, 0.0))
    with database.transaction() as session:
        assignment = session.exec(select(Assignment)).first()
        assert assignment is not None
        user = session.get(User, assignment.user_pk)
        assert user is not None
        user.attributes = user.attributes | {"county": "Kent"}
        assignment.assigned_at = clock.now() + DAY
    report = look(database, clock)
    with pytest.raises(Invalid, match="no user of this experiment has an attribute 'county'"):
        segment_report(database, report, by="county")
