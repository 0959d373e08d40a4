from dataclasses import replace

import pytest

from analysis.inputs import Messages, Reached
from analysis.verdicts.health import check_health, first_skew
from experiments.vocabulary import Method
from tests.unit.analysis.facts_of import arm


def sizes(*assigned, weights=None):
    weights = weights or [1.0] * len(assigned)
    return [
        arm(name, n, control=i == 0, weight=weight)
        for i, (name, n, weight) in enumerate(zip("abcd", assigned, weights, strict=False))
    ]


def of(checks, stage):
    return next(check for check in checks if check.stage == stage and check.check == "srm")


@pytest.mark.parametrize("method", list(Method))
def test_a_gross_mismatch_blocks_whatever_the_method(method):
    checks = check_health(sizes(5000, 5600), method)
    check = of(checks, "assigned")
    assert not check.ok
    assert check.blocking
    assert check.p_value < 1e-6
    assert check.e_value >= 1000
    assert first_skew(checks) == "skew first shows at 'assigned': the assignment itself is not as planned"


def test_a_low_p_value_alone_alarms_only_at_a_single_look():
    arms = sizes(5000, 5350)  # p = 0.0006
    fixed, daily = (of(check_health(arms, method), "assigned") for method in (Method.FIXED, Method.SPENDING))
    assert 1e-4 < fixed.p_value == daily.p_value < 1e-3
    assert not fixed.ok
    assert daily.ok
    assert "repeated looks" in daily.detail


def test_weights_are_the_effective_ones():
    assert of(check_health(sizes(9000, 1000, weights=[0.9, 0.1]), Method.FIXED), "assigned").ok
    assert not of(check_health(sizes(9000, 1000), Method.FIXED), "assigned").ok


def test_users_in_an_arm_of_weight_zero_are_their_own_error():
    checks = check_health(sizes(500, 500, 3, weights=[1, 1, 0]), Method.FIXED)
    stray = next(check for check in checks if check.check == "zero_weight")
    assert not stray.ok
    assert stray.blocking
    assert "3 users" in stray.detail
    assert of(checks, "assigned").ok


def test_too_few_users_cannot_be_told():
    check = of(check_health(sizes(3, 4), Method.FIXED), "assigned")
    assert check.p_value is None
    assert check.ok
    assert "cannot tell" in check.detail
    alone = of(check_health(sizes(30, 0, weights=[1, 0]), Method.FIXED), "assigned")
    assert "fewer than two" in alone.detail


def sending(*delivered, assigned=2000):
    silent = arm("silence", assigned, control=True, sends=False, messages=Messages(), reached=Reached())
    return [
        silent,
        *(
            arm(
                name,
                assigned,
                messages=Messages(),
                reached=Reached(accepted=assigned, delivered=n, read=n // 2, clicked=n // 10),
            )
            for name, n in zip("xyz", delivered, strict=False)
        ),
    ]


def test_later_stages_compare_the_arms_that_send():
    checks = check_health(sending(1900, 1400), Method.SPENDING)
    assert of(checks, "accepted").ok
    assert of(checks, "accepted").p_value == 1.0
    skew = of(checks, "delivered")
    assert not skew.ok
    assert not skew.blocking
    assert "silence" not in skew.detail
    assert not of(checks, "read").ok
    assert first_skew(checks) == "skew first shows at 'delivered': delivery differs between the arms"
    assert first_skew(check_health(sending(1900, 1890), Method.SPENDING)) is None
    assert of(check_health(sending(1900, 1890), Method.SPENDING), "delivered").ok


def test_where_nearly_everybody_arrives_those_who_do_not_show_the_skew():
    check = of(check_health(sending(1990, 1900), Method.SPENDING), "delivered")
    assert not check.ok


def test_one_sending_arm_or_no_messages_have_no_later_stages():
    assert [check.stage for check in check_health(sending(1900), Method.FIXED)] == ["assigned"]
    assert [check.stage for check in check_health(sizes(500, 500), Method.FIXED)] == ["assigned"]


def test_messages_stand_in_for_users_only_while_they_can():
    one_each = [replace(each, reached=None, messages=Messages(accepted=1900)) for each in sending(1, 1)]
    assert of(check_health(one_each, Method.FIXED), "accepted").p_value == 1.0
    several = [replace(each, reached=None, messages=Messages(accepted=3800)) for each in sending(1, 1)]
    check = of(check_health(several, Method.FIXED), "accepted")
    assert check.p_value is None
    assert "only messages are counted" in check.detail


def test_of_many_arms_those_farthest_off_are_told():
    arms = [arm(f"v{i:02d}", 400 if i == 33 else 1000, control=not i) for i in range(50)]
    check = of(check_health(arms, Method.FIXED), "assigned")
    assert not check.ok
    assert check.detail.startswith("v33 400, v00 1000, ")
    assert "; the other 42 lie nearer to it; chi-square p = " in check.detail
    assert check.detail.count("1000") == 7
