"""What a plan says of guards: opt-outs that are doubled, at the pace of the campaign."""

from typing import Any

import pytest

from analysis.planning import plan_guards
from analysis.planning.plan_findings import Base, Entry, GuardPlan, Sending
from analysis.planning.plan_words import guard_words
from analysis.stats.harm_power import Harm
from experiments.design import ExperimentDesign, read_design


def said(key: str) -> dict[str, Any]:
    return {"key": key, "message": {"text": key}}


def design(*variants: dict[str, Any], **more: Any) -> ExperimentDesign:
    return read_design(
        {
            "key": "spring",
            "name": "Spring",
            "variants": list(variants) or [{**said("plain"), "control": True}, said("pushy")],
            "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}],
            **more,
        },
        library={},
    )


def planned(
    of: ExperimentDesign, *, people: int | None = 20_000, days: float = 2.0, base: float | None = 0.01, entry_days: int = 0
) -> GuardPlan:  # fmt: skip
    (found,) = plan_guards.plan_guards(
        of,
        base=None if base is None else Base(mean=base, sd=0.1, rho=0.0, users=5000, source="campaigns"),
        sending=None
        if people is None
        else Sending(messages=people, people=people, per_day=10_000, days=days, limited_by="the number"),
        entry=Entry(at_once=people or 0, per_day=None, days=entry_days, by_the_end=people, source="counted"),
    )
    return found


def test_few_opt_outs_are_found_late_and_the_plan_says_how_many_people_it_takes() -> None:
    found = planned(design())
    assert (found.guard, found.base, found.harmful, found.margin) == ("opted_out", 0.01, 0.02, 0.001)
    assert found.stopped_early == pytest.approx(0.36, abs=0.04)
    assert found.standard_error == pytest.approx(0.0107, abs=0.001)
    assert found.people_needed is not None
    assert 50_000 < found.people_needed < 70_000
    # So many do it, but for the luck of the drawing, and a fifth fewer do not.
    a_person = 2.0 / 20_000
    enough, fewer = (
        planned(design(), people=people, days=a_person * people).stopped_early or 0.0
        for people in (found.people_needed, round(0.8 * found.people_needed))
    )
    assert enough > 0.9 - 3 * 0.0067
    assert fewer < 0.9
    assert guard_words(found) == (
        f"opted_out: against 1% in the control, a variant with 2% is stopped by the time 25% of 20,000 people are messaged in {found.stopped_early:.0%} of campaigns; "
        f"{found.people_needed:,} people would make it 90%"
    )
    more = planned(design(), base=0.03)
    assert (more.stopped_early or 0) > 0.92
    assert (more.people_needed or 10**9) <= 20_000


def test_what_nobody_knows_is_assumed_and_said() -> None:
    found = planned(design(), base=None)
    assert (found.base, found.base_source) == (0.01, "assumed")
    assert "1% in the control (assumed: nobody knows)" in guard_words(found)
    found = planned(design(trigger={"type": "event", "event": "Signed Up"}), people=None)
    assert (found.stopped_early, found.reasons) == (None, ("nobody knows how many people will be messaged",))
    assert found.people_needed == pytest.approx(52_000, rel=0.1)
    assert guard_words(found).endswith(
        "people would make it 90%; nobody knows how many people will be messaged"
    )


def test_messages_that_are_out_before_anybody_can_have_been_harmed_are_not_guarded() -> None:
    found = planned(design(), days=0.01)
    assert found.stopped_early == 0.0
    assert found.reasons == (
        "a quarter of the 20,000 people is messaged before the harm of any is known, 1h after their message: send more slowly, or in waves",
    )
    # At that pace it takes a campaign so large that it lasts.
    assert (found.people_needed or 0) > 300_000
    sooner = planned(design(plan={"rules": {"harm_within": "1m"}}), days=0.01)
    assert (sooner.stopped_early or 0) > 0.1


def test_waves_wait_for_what_guards_see() -> None:
    def in_waves(share: float, **more: Any) -> GuardPlan:
        return planned(
            design(allocation={"policy": "thompson", "waves": {"share": share}, **more}), days=0.01, base=0.03
        )

    # Two waves of a tenth are out before the quarter, and known; of one of a half nothing is.
    assert (in_waves(0.1).stopped_early or 0) > 0.85
    assert in_waves(0.1).reasons == ()
    assert in_waves(0.5).stopped_early == 0.0
    assert "in waves" in in_waves(0.5).reasons[0]
    # Where a wave follows within the hour, the one before is not known yet.
    assert (in_waves(0.1, interval="30m").stopped_early or 0) < (in_waves(0.1).stopped_early or 0)


def test_it_is_the_smallest_variant_among_all_and_every_guard_has_its_part_of_alpha() -> None:
    crowded = planned(
        design(
            {**said("plain"), "control": True, "weight": 2},
            {**said("a"), "weight": 1},
            {**said("b"), "weight": 1},
        )
    )
    test = Harm(control=0.01, variant=0.02, margin=0.001, share=1 / 3, level=0.05 / 6)
    # A quarter of 20,000 less an hour of two days, of whom three quarters are in the two arms.
    assert crowded.stopped_early == test.stopped(int(20_000 * (0.25 - 1 / 48) * 0.75))
    quiet = design(plan={"rules": {"stop_for_harm": {"blocked": False, "failed": False}}})
    assert (planned(quiet).stopped_early or 0) > (planned(design()).stopped_early or 0)


def test_over_silence_twice_what_is_tolerated_is_asked_about() -> None:
    silent = design({"key": "silence", "control": True}, said("reminder"))
    found = planned(silent, people=10_000)
    assert (found.base, found.base_source, found.harmful, found.margin) == (0.0, "silent", 0.04, 0.02)
    assert found.stopped_early is not None
    assert "against a silent control, a variant with 4%" in guard_words(found)
    assert plan_guards.with_opt_outs(silent, {}) == {}


def test_harm_that_is_tolerated_is_never_stopped_and_nothing_is_said_of_guards_that_are_off() -> None:
    wide = design(metrics=[
        {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}, {"key": "opted_out", "role": "guardrail", "margin": 0.01},
    ])  # fmt: skip
    found = planned(wide)
    assert (found.stopped_early, found.people_needed) == (None, None)
    assert found.reasons == (
        "so much more is within the margin of 0.01, so no number of people would stop it",
    )
    assert planned(design(), base=0.6).reasons == ("a share of 60% cannot be doubled",)
    off = design(plan={"rules": {"stop_for_harm": {"opted_out": False}}})
    nothing = plan_guards.plan_guards(
        off, base=None, sending=None, entry=Entry(at_once=1, per_day=None, days=0, by_the_end=1, source="")
    )
    assert nothing == ()


@pytest.mark.parametrize("wrong", [{"share": 1.0}, {"level": 0.0}, {"variant": 1.5}, {"margin": -0.1}])
def test_harm_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="lie between"):
        Harm(**{"control": 0.01, "variant": 0.02, "margin": 0.001, "share": 0.5, "level": 0.01, **wrong})
