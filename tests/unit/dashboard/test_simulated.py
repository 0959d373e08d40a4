"""The page Simulation: its form as the API's question, the answer read, the advice, the pictures."""

from typing import Any

import pytest

from dashboard import simulation_charts
from dashboard.policy_advice import advice
from dashboard.reading import Unreadable
from dashboard.simulated import Arm, World, question, read_simulated, together


def outcome(policy: str, regret: float, **more: Any) -> dict[str, Any]:
    return {
        "policy": policy,
        "regret": regret,
        "regret_error": 2.0,
        "sends": {"silence": 100.0, "coupon": 300.0},
        "best_share": 0.75,
        "report_ships": 0.6,
        "report_ships_wrong": 0.05,
        "report_keeps": 0.1,
        "intervals_to_report": 8.0,
        "decided": 0.5,
        "wrong_winner": 0.01,
        "wrong_favourite": 0.02,
        "intervals_to_decision": 10.0,
        "moved": 3.0,
        **more,
    }


def answer(*outcomes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "metric": "bought",
        "interval": "1d",
        "intervals": 30,
        "users": 30_000,
        "runs": 400,
        "unit": "conversions",
        "worth": {"silence": 0.05, "coupon": 0.06},
        "best": ["coupon"],
        "planned": "thompson",
        "outcomes": list(outcomes),
        "waves": None,
        "notes": [],
        **more,
    }


def test_the_world_as_the_api_takes_it() -> None:
    arms = [
        Arm(key="silence", rate=5.0, delay=0.0),
        Arm(key="coupon", lift=12.0, delay=36.0, non_delivery=10.0, value=40.0),
    ]
    asked = question({"key": "spring"}, World(arms=arms, intervals=12, drift=2.0, runs=60, seed=7))
    assert asked["world"] == {
        "rates": {"silence": 0.05},
        "lift": {"coupon": 0.12},
        "values": {"coupon": 40.0},
        "delay": {"coupon": "2160m"},
        "non_delivery": {"coupon": 0.1},
        "users_per_interval": 1000,
        "intervals": 12,
        "drift": 2.0,
    }
    assert (asked["runs"], asked["seed"], asked["campaign"]) == (60, 7, {"key": "spring"})
    assert "runs" not in question({}, World(arms=arms))


@pytest.mark.parametrize(
    ("outcomes", "policy", "words"),
    [
        (
            (outcome("fixed", 100), outcome("thompson", 40), outcome("top_two", 60)),
            "thompson",
            "clearly more",
        ),
        ((outcome("fixed", 100), outcome("thompson", 97), outcome("top_two", 99)), "fixed", "within twice"),
        (
            (
                outcome("fixed", 100),
                outcome("thompson", 50, intervals_to_decision=12.0),
                outcome("top_two", 52, intervals_to_decision=9.0),
            ),
            "top_two",
            "lose about the same",
        ),
        (
            (
                outcome("fixed", 100),
                outcome("thompson", 50, intervals_to_decision=None, decided=0.0),
                outcome("top_two", 52, intervals_to_decision=None, decided=0.0),
            ),
            "thompson",
            "lose about the same",
        ),
    ],
)
def test_the_policy_that_loses_clearly_less_is_taken(
    outcomes: tuple[dict[str, Any], ...], policy: str, words: str
) -> None:
    said = advice(read_simulated(answer(*outcomes)))
    assert said.policy == policy
    assert words in said.sentences[0]


def test_what_is_saved_is_said_with_its_error() -> None:
    [first, *_] = advice(
        read_simulated(answer(outcome("fixed", 100), outcome("thompson", 40), outcome("top_two", 60)))
    ).sentences
    # sqrt(2^2 + 2^2) = 2.8
    assert "saves 60.0 ± 2.8 conversions against fixed weights, 60% of what those lose" in first.replace(
        "\u00a0", " "
    )


def test_arms_that_are_alike_are_not_worth_a_bandit() -> None:
    made = answer(outcome("fixed", 0), outcome("thompson", 0), best=["silence", "coupon"])
    said = advice(read_simulated(made))
    assert said.policy == "fixed"
    assert "All arms are alike" in said.sentences[0]


def test_cautions_about_what_was_taken() -> None:
    slow = advice(
        read_simulated(
            answer(
                outcome("fixed", 100, intervals_to_decision=6.0),
                outcome("thompson", 40, intervals_to_decision=11.0, wrong_winner=0.12),
                outcome("top_two", 60),
            )
        )
    )
    assert slow.policy == "thompson"
    assert "Fixed weights decides after 6 intervals, this one after 11" in slow.sentences[1]
    assert "a wrong arm ahead of all the others in 12.0% ± 1.6" in slow.sentences[2].replace("\u00a0", " ")
    none = [outcome(p, r, intervals_to_decision=None) for p, r in (("fixed", 9), ("thompson", 8))]
    assert "In no run" in advice(read_simulated(answer(*none))).sentences[1]
    # Of several best arms none is to be found, so that more users would not help.
    tied = answer(*none, best=["coupon", "reminder"], worth={"silence": 1.0, "coupon": 2.0, "reminder": 2.0})
    assert len(advice(read_simulated(tied)).sentences) == 1


def test_a_broadcast_is_advised_by_its_waves() -> None:
    shares = dict.fromkeys(
        ("shipped", "wrong_shipped", "shipped_no_better", "ended", "wrongly_ended", "all_out"), 0.25
    )
    waves = [
        {"policy": policy, "regret": regret, "regret_error": error, "users": {"silence": 1.0}, "got_best": 0.5,
         "messaged": 10.0, "intervals": 5.0, **shares}
        for policy, regret, error in (("fixed", 50, 0), ("thompson", 50, 1), ("top_two", 20, 1))
    ]  # fmt: skip
    streamed = (outcome("fixed", 100), outcome("thompson", 10), outcome("top_two", 90))
    found = read_simulated(answer(*streamed, waves={"waves": 10, "users": 30_000, "outcomes": waves}))
    assert (found.waves, found.broadcast[2].shares["shipped"]) == (10, 0.25)
    assert advice(found).policy == "top_two"


@pytest.mark.parametrize("document", [None, {}, {"outcomes": [], "runs": 5}, answer({"policy": "fixed"})])
def test_what_is_no_answer_is_not_read_as_one(document: Any) -> None:
    with pytest.raises(Unreadable):
        read_simulated(document)


def test_the_pictures_have_every_number() -> None:
    found = read_simulated(answer(outcome("fixed", 100), outcome("thompson", 40)))
    names = {"fixed": "Fixed weights", "thompson": "Thompson"}
    chart = simulation_charts.regrets(found.outcomes, names, title="Lost")
    assert chart is not None
    rows = chart.data.to_dict()["values"]
    assert [row["policy"] for row in rows] == ["Fixed weights", "Thompson"]
    assert rows[1]["lower"] == pytest.approx(40 - 1.96 * 2)
    assert rows[1]["label"].replace("\u00a0", " ") == "40.0 ± 2.0"
    users = {row.policy: row.sends for row in found.outcomes}
    traffic = simulation_charts.traffic(users, names, title="Users")
    assert traffic is not None
    bars = traffic.data.to_dict()["values"]
    assert [(bar["arm"], bar["start"], bar["end"]) for bar in bars[:2]] == [
        ("silence", 0.0, 0.25),
        ("coupon", 0.25, 1.0),
    ]
    assert simulation_charts.regrets([], {}, title="") is None
    assert simulation_charts.traffic({}, {}, title="") is None


def test_policies_that_were_asked_one_by_one_are_one_answer() -> None:
    waves = {
        policy: {
            "policy": policy,
            "regret": 1.0,
            "regret_error": 0.1,
            "users": {},
            "got_best": 0.5,
            "messaged": 10.0,
            **dict.fromkeys(
                ("shipped", "wrong_shipped", "shipped_no_better", "ended", "wrongly_ended", "all_out"), 0.1
            ),
            "intervals": 3.0,
        }
        for policy in ("fixed", "thompson", "top_two")
    }
    parts = [
        read_simulated(
            answer(
                outcome(policy, 10.0 + number, moved=None),
                waves={"waves": 4, "outcomes": [waves["fixed"], *([waves[policy]] if number else [])]},
                notes=["one", policy],
            )
        )
        for number, policy in enumerate(("fixed", "thompson", "top_two"))
    ]
    made = together(parts)
    assert [row.policy for row in made.outcomes] == ["fixed", "thompson", "top_two"]
    assert [row.regret for row in made.outcomes] == [10, 11, 12]
    assert [row.policy for row in made.broadcast] == ["fixed", "thompson", "top_two"]
    assert made.notes == ("one", "fixed", "thompson", "top_two")
    assert made.nothing_moved
    assert not parts[0].nothing_moved, "fixed weights are no bandit"
    assert not read_simulated(answer(outcome("fixed", 1, moved=None), outcome("thompson", 1))).nothing_moved
