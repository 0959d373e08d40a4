"""A paced template: the first go out, the next wait for a verdict that the seed has already passed."""

import pytest

from delivery.simulator.behaviour import Treatment
from delivery.simulator.graph import GraphError
from delivery.simulator.pacing import Admission, admit, count
from delivery.simulator.profile import Pacing
from delivery.simulator.registry import Template
from delivery.simulator.registry_changes import change_template
from delivery.simulator.registry_reading import built

SECOND = 1_000_000
HOLD, PAUSE = 3600, 10_800


def _template(good: float, **more) -> Template:
    pacing = Pacing(first=2, good=good, hold_seconds=HOLD, pause_seconds=PAUSE, **more)
    return built("promo", Treatment(), link="https://example.com", pacing=pacing)


def _send(template: Template, at: int, seed: int = 1) -> Admission:
    admission = admit(template, at * SECOND)
    if admission == Admission():
        count(template, at * SECOND, seed)
    return admission


def _code(template: Template, at: int) -> int:
    with pytest.raises(GraphError) as caught:
        admit(template, at * SECOND)
    return caught.value.code


def test_after_a_good_verdict_everything_goes_out():
    template = _template(good=1.0)
    assert [_send(template, at).message_status for at in (0, 10)] == ["accepted"] * 2
    held = _send(template, 20)
    assert held == Admission("held_for_quality_assessment", (10 + HOLD) * SECOND)
    assert _send(template, 9 + HOLD).message_status == "held_for_quality_assessment"
    assert template.quality == "UNKNOWN"
    assert [_send(template, 10 + HOLD + n) for n in range(5)] == [Admission()] * 5
    assert (template.status, template.quality) == ("APPROVED", "GREEN")


def test_after_a_bad_verdict_the_template_pauses_and_the_third_time_it_is_disabled():
    template, at = _template(good=0.0), 0
    for pause in (PAUSE, 2 * PAUSE):
        assert [_send(template, at), _send(template, at)] == [Admission()] * 2
        assert _send(template, at).fails == 132015
        at += HOLD
        assert _code(template, at) == 132015
        assert (template.status, template.quality) == ("PAUSED", "RED")
        assert _code(template, at + pause - 1) == 132015
        at += pause
    _send(template, at), _send(template, at)
    assert (template.status, template.quality, template.round) == ("APPROVED", "UNKNOWN", 3)
    assert _code(template, at + HOLD) == 132016
    assert _code(template, at + 10**9) == 132016


def test_the_verdict_is_told_in_metas_form():
    template = _template(good=0.0)
    assert count(template, 0, 1) == []
    down, up = count(template, 0, 1)
    assert [notice.field for notice in down.notices] == [
        "message_template_quality_update",
        "message_template_status_update",
    ]
    quality, status = (notice.value for notice in down.notices)
    assert (quality["previous_quality_score"], quality["new_quality_score"]) == ("UNKNOWN", "RED")
    assert (status["event"], status["other_info"]["title"]) == ("PAUSED", "FIRST_PAUSE")
    assert (status["message_template_id"], status["message_template_name"]) == (template.id, "promo")
    assert (down.at, up.at) == (HOLD * SECOND, (HOLD + PAUSE) * SECOND)
    assert up.notices[0].value["event"] == "REINSTATED"


def test_the_seed_passes_the_verdict():
    def verdict(seed: int, name: str) -> bool:
        template = built(name, Treatment(), link="https://example.com", pacing=Pacing(first=1, good=0.3))
        count(template, 0, seed)
        assert template.verdict is not None
        return template.verdict[1]

    verdicts = [verdict(1, f"t{n}") for n in range(400)]
    assert verdicts == [verdict(1, f"t{n}") for n in range(400)]
    assert verdicts != [verdict(2, f"t{n}") for n in range(400)]
    assert 85 <= sum(verdicts) <= 155  # 120 of 400, 3.8 standard deviations


def test_a_paused_template_may_be_answered_with_a_status():
    template = _template(good=1.0, paused_answer="status")
    change_template(template, {"status": "PAUSED"}, 0)
    assert admit(template, 5) == Admission("paused", 5, 132015)


def test_what_is_not_approved_is_not_there():
    template = built("promo", Treatment(), link="https://example.com", pacing=None)
    for status, code in (("PENDING", 132001), ("REJECTED", 132001), ("PAUSED", 132015), ("DISABLED", 132016)):
        change_template(template, {"status": status}, 0)
        assert _code(template, 0) == code


def test_a_change_by_hand_ends_what_was_in_store():
    template = _template(good=0.0)
    _send(template, 0)
    admit(template, 0)
    changes = count(template, 0, 1)
    change_template(template, {"status": "APPROVED"}, SECOND)
    assert all(change.void for change in changes)
    assert _send(template, 2 * HOLD) == Admission()
