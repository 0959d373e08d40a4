"""What becomes of candidates once SQL has said what it knows."""

from typing import Any

from targeting.eligibility import Decision, decide, needs_attributes
from targeting.repository import Candidate
from tests.unit.targeting.test_draw import SHARES, design


def decisions(candidates: list[Candidate], *, global_holdout: float = 0.0, **audience: Any) -> list[Decision]:
    return decide(design(**audience), candidates, weights=SHARES, global_holdout=global_holdout)


def candidate(number: int, reason: str | None = None, **attributes: Any) -> Candidate:
    return Candidate(number, f"user-{number}", reason, attributes or None)


def test_nobody_gives_nothing() -> None:
    assert decisions([]) == []


def test_a_reason_of_sql_comes_before_the_unit_and_the_unit_before_the_gates() -> None:
    assert [
        decision.reason
        for decision in decisions(
            [candidate(1, "consent"), candidate(2), candidate(3, household="h")],
            hash_attribute="household",
            layer={"key": "l", "range": [0, 0.0001]},
        )
    ] == ["consent", "no_unit", "layer"]


def test_a_drawn_variant_has_its_weight_as_propensity() -> None:
    for decision in decisions([candidate(n) for n in range(50)]):
        assert decision.variant is not None
        assert decision == Decision(decision.variant, None, SHARES[decision.variant], forced=False)


def test_a_forced_variant_passes_every_gate_and_no_reason_of_sql() -> None:
    forced = {"user-1": "a", "user-2": "b"}
    found = decisions(
        [candidate(1), candidate(2, "consent"), candidate(3)],
        forced=forced,
        hash_attribute="household",
        global_holdout=0.99,
    )
    assert found == [
        Decision("a", None, 1.0, forced=True),
        Decision(None, "consent"),
        Decision(None, "no_unit"),
    ]


def test_a_forced_user_changes_nothing_for_the_others() -> None:
    people = [candidate(n) for n in range(100)]
    plain, with_tester = decisions(people), decisions(people, forced={"user-7": "b"})
    assert [one for n, one in enumerate(plain) if n != 7] == [
        one for n, one in enumerate(with_tester) if n != 7
    ]


def test_attributes_are_read_only_where_a_unit_is_made_of_them() -> None:
    assert not needs_attributes(design(fallback_attribute="household"))
    assert needs_attributes(design(hash_attribute="household", fallback_attribute="user_id"))
