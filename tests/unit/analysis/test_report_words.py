import pytest

from analysis.reports import report_words as words
from analysis.stats.aggregates import Aggregate
from tests.unit.analysis.facts_of import OPTED_OUT, SPEND, VISIT, arm, report, two, visits


def first(body):
    metric = body["metrics"][0]
    return metric, metric["effects"][0]


@pytest.mark.parametrize(
    ("decision", "title", "tone"),
    [
        ({"action": "ship", "variant": "b"}, "Ship b: it does better", "good"),
        ({"action": "keep_control", "variant": None}, "Keep a: no variant is worth it", "open"),
        ({"action": "stop_harm", "variant": "b"}, "Stop b: it does harm", "bad"),
        ({"action": "continue", "variant": None, "rule": "undecided"}, "Not decided yet: let it run", "open"),
        ({"action": "inconclusive", "variant": None}, "It ends without a winner", "open"),
        ({"action": "continue", "variant": None, "rule": "health"}, "Do not act on this: the experiment is not sound", "bad"),
        ({"action": "some_day", "variant": None}, "some day", "open"),
    ],
)  # fmt: skip
def test_every_decision_has_a_headline(decision, title, tone):
    body = {**report(two(100, 150)).to_json(), "decision": decision}
    assert words.headline(body) == (title, tone)


@pytest.mark.parametrize(
    ("control", "treatment", "said"),
    [
        (100, 150, ("better", "good")),
        (150, 100, ("worse", "bad")),
        (100, 103, ("no clear difference", "open")),
    ],
)
def test_the_word_follows_significance_and_direction(control, treatment, said):
    assert words.verdict(*first(report(two(control, treatment)).to_json())) == said
    fewer = type(VISIT)(key="visit", kind=VISIT.kind, direction=OPTED_OUT.direction)
    turned = {"better": ("worse", "bad"), "worse": ("better", "good")}.get(said[0], said)
    assert words.verdict(*first(report(two(control, treatment), metrics=(fewer,)).to_json())) == turned


@pytest.mark.parametrize(
    ("x", "said"),
    [(3, ("within its margin", "good")), (90, ("does harm", "bad")), (12, ("harm not ruled out", "open"))],
)
def test_a_guardrail_is_told_by_its_margin(x, said):
    arms = two(
        1,
        1,
        extra_c={"opted_out": Aggregate.from_counts(1000, 3)},
        extra_t={"opted_out": Aggregate.from_counts(1000, x)},
    )
    assert words.verdict(*first(report(arms, metrics=(OPTED_OUT,)).to_json())) == said


def test_sentences_keep_their_sign_and_their_unit():
    less = words.sentence(*first(report(two(150, 100)).to_json()), 0.05)
    assert less.startswith("visit is 10.0% with b and 15.0% with a: 5.0 points less, a lift of −33%.")
    assert less.endswith("The 95% interval of the difference goes from −7.9 to −2.1.")
    spend = (
        {"spend": Aggregate(n=1000, mean=3.0, variance=4.0)},
        {"spend": Aggregate(n=1000, mean=3.5, variance=4.0)},
    )
    arms = [arm("a", control=True, aggregates=spend[0]), arm("b", aggregates=spend[1])]
    assert "3.50 with b and 3.00 with a: 0.50 more, a lift of +16.7%" in words.sentence(
        *first(report(arms, metrics=(SPEND,)).to_json()), 0.1
    )
    assert "this cannot be told" in words.sentence(
        *first(report([arm("a", 0, control=True), arm("b", 0)]).to_json()), 0.1
    )


def test_a_difference_within_epochs_is_not_told_as_that_of_the_two_levels():
    metric, effect = first(report(two(150, 100)).to_json())
    said = words.sentence(metric, {**effect, "test": "score_by_epoch"}, 0.05)
    assert said.startswith(
        "visit is 10.0% with b and 15.0% with a: compared within each stretch of time with the same weights, it is 5.0 points less, a lift"
    )
    assert "stretch" not in words.sentence(metric, effect, 0.05)


def test_a_limit_that_is_not_zero_is_never_told_as_zero():
    interval = {"estimate": 0.02, "lower": 0.00046, "upper": 0.0402}
    assert words.span(interval, "proportion") == "+0.05 to +4.02"
    assert words.span({"estimate": 0.0, "lower": 0.0, "upper": 1e-30}, "mean") == "0.000000 to 0.000000"
    assert words.span({"estimate": 0.0, "lower": -1e300, "upper": 1e300}, "mean") == "-1e+300 to +1e+300"


def test_lights_follow_ok_blocking_and_what_could_be_told():
    def light(**check):
        return words.light({"ok": True, "p_value": 0.5, "detail": "", **check})

    assert light() == "ok"
    assert light(ok=False) == "notice"
    assert light(ok=False, blocking=True) == "alarm"
    assert light(p_value=None, detail="cannot tell: too few") == "unknown"
    assert light(p_value=None, detail="3 units in two arms") == "ok"


def test_what_significant_means_counts_the_comparisons():
    three = report(
        [
            arm("a", control=True, aggregates=visits(1000, 90)),
            *(arm(name, aggregates=visits(1000, 90)) for name in "bc"),
        ]
    )
    assert "The 2 comparisons of primary metrics" in words.meaning_of_significant(three.to_json())[0]
    assert "comparisons" not in words.meaning_of_significant(report(two(1, 2)).to_json())[0]
    assert "The method is guesswork." in words.meaning_of_significant(
        {**three.to_json(), "method": "guesswork"}
    )


def test_what_is_said_of_many_variants_is_said_once():
    names = [f"v{i}" for i in range(6)]
    body = {
        "metrics": [{"metric": "visit", "effects": [{"variant": name, "control": "a"} for name in names]}],
        "warnings": [
            "first",
            *(f"visit, {name} against a: an arm has only one user" for name in names[:4]),
            "visit, v4 against a: the denominator is 0",
            "visit, v5 against a: an arm has only one user",
            "last",
        ],
    }
    assert words.folded_warnings(body) == [
        "first",
        "visit, 5 variants (v0, v1, v2 ..) against a: an arm has only one user",
        "visit, v4 against a: the denominator is 0",
        "last",
    ]
    few = {**body, "warnings": body["warnings"][:4]}
    health = [
        {"check": "srm", "stage": "assigned", "ok": False, "p_value": 1e-9, "detail": "sizes are wrong"},
        {"check": "srm", "stage": "delivered", "ok": True, "p_value": 0.5, "detail": "as expected"},
    ]
    repeated = {**few, "health": health, "warnings": ["srm at assigned: sizes are wrong", *few["warnings"]]}
    # The list of checks, which stands beside them, says it.
    assert words.folded_warnings(repeated) == few["warnings"]
    assert words.folded_warnings(few) == few["warnings"]
