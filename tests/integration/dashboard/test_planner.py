"""The page Planner against the API itself: a few numbers, a campaign over the users there are, errors at their fields."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.planned_world import document, settle

Open = Callable[[str], AppTest]


def figures(app: AppTest) -> dict[str, str]:
    return {item.label: item.value for item in app.metric}


def test_a_few_numbers_are_answered_and_explained(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "planner")
    # The numbers of docs/planning.md.
    assert figures(app)["Users needed"] == "31,230"
    assert figures(app)["Price of looking"] == "× 1.059"
    assert "15,615 in each, to find a lift of +10% with a chance of 80%" in seen(app)
    widget(app, "number_input", "Arms, the control included").set_value(3).run()
    widget(app, "number_input", "Users who join a day").set_value(5000.0).run()
    assert figures(app)["Users needed"] == "55,983"
    assert figures(app)["Days"] == "19"


def test_exact_is_answered_in_halves_with_the_figures_and_pictures_of_the_whole(
    live: Live, open_dashboard: Open
) -> None:
    app = open_page(open_dashboard("read"), "planner", method="exact", looks="3", users="20000")
    asked = {"baseline": 0.1, "mde": 0.1, "method": "exact", "looks": 3, "users": 20_000}
    whole = live.call("POST", "/v1/plan/size", json=asked)
    found = figures(app)
    assert found["Users needed"] == f"{whole['users_needed']:,}"
    assert found["Power"] == f"{100 * whole['power']:.1f}%"
    assert "**Power by the size of the effect**" in [item.value for item in app.markdown]
    halves = [
        live.call("POST", "/v1/plan/size", json=asked | {"only": name}) for name in ("figures", "pictures")
    ]
    assert (halves[0]["curve"], halves[0]["effects"], halves[1]["power"]) == ([], [], None)
    assert halves[0] | {name: halves[1][name] for name in ("curve", "effects")} == whole
    assert not app.get("progress"), "the bar goes when the work is done"


def test_a_link_shows_the_same_question_with_its_guardrail(open_dashboard: Open) -> None:
    asked = {"rate": "10", "lift": "10", "users": "29497", "guard_base": "1", "guard_margin": "0.2"}
    app = open_page(open_dashboard("read"), "planner", method="fixed", **asked)
    found = figures(app)
    assert (found["Users needed"], found["Power"], found["Smallest lift found"]) == ("29,497", "80%", "+10%")
    assert found["Users for the guardrail"] == "61,668"
    looks = next(table.value for table in app.table if "Looks" in table.value.columns)
    assert list(looks["Looks"]) == ["1", "2", "5", "14", "30", "90"]


def test_every_field_of_the_form_is_in_the_question(live: Live, open_dashboard: Open) -> None:
    said = {
        "rate": "8",
        "lift": "15",
        "alpha": "1",
        "power": "90",
        "reach": "80",
        "window": "14",
        "rho": "0.5",
    }
    more = {"per_day": "500", "price": "0.25", "control_sends": "true", "looks": "4", "arms": "3"}
    app = open_page(open_dashboard("read"), "planner", **said, **more)
    asked = {
        "baseline": 0.08, "mde": 0.15, "alpha": 0.01, "power": 0.9, "reach": 0.8, "window": "14d", "rho": 0.5,
        "per_day": 500, "message_price": 0.25, "control_sends": True, "looks": 4, "weights": [1, 1, 1],
    }  # fmt: skip
    made = live.call("POST", "/v1/plan/size", json=asked)
    found = figures(app)
    assert found["Users needed"] == f"{made['users_needed']:,}"
    assert found["Days"] == str(made["days_needed"])
    assert found["Cost"] == f"{made['cost']:,.2f}"


def test_what_cannot_be_is_told_at_its_field(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "planner", lift="0")
    assert ":red[:material/error: is a relative effect of 1e-06 to 100" in seen(app)
    assert figures(app) == {}
    app = widget(app, "number_input", "Smallest lift worth finding (%)").set_value(950.0).run()
    page = seen(app)
    assert figures(app)["Users needed"] == "–"
    assert "It cannot be told" in page
    assert "0 to 1" in page  # a rate of 100 % is the reason


def test_in_chinese(open_dashboard: Open) -> None:
    app = open_dashboard("read")
    app.session_state["language"] = "zh"
    app = open_page(app, "planner")
    assert figures(app)["所需用户"] == "31,230"
    assert "以 80% 的机会发现 +10% 的提升" in seen(app)


@pytest.fixture
def world(live: Live) -> Live:
    """Three hundred people who can take part, what they bought, and a draft and an experiment about them."""
    with live.wiring.database.transaction() as session:
        settle(session, live.clock)
    live.call("PUT", "/v1/drafts/autumn", json={"document": document(key="autumn", name="Autumn")})
    live.call("POST", "/v1/experiments", json=document())
    live.call("PUT", "/v1/drafts/bare", json={"document": {"key": "bare", "name": "Bare"}})
    return live


def test_a_campaign_is_planned_over_the_users_there_are(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "planner", way="campaign")
    offered = widget(app, "selectbox", "Campaign").options
    assert {"Autumn (draft of the wizard)", "Bare (draft of the wizard)"} < set(offered)
    app.session_state["search"] = ""
    app = open_page(app, "planner", way="campaign", campaign="experiment:spring")
    press(app, "Work out the plan")
    assert figures(app)["Take part"] == "300"
    table = app.dataframe[0].value
    assert list(table["Metric"]) == ["bought", "revenue", "opted_out"]
    assert list(table["Role"])[2] == "guardrail"
    plan = world.call("POST", "/v1/plan", json={"campaign": document()})
    assert table["Users needed"][0] == f"{plan['metrics'][0]['users_needed']:,}"
    titles = [item.value for item in app.markdown]
    assert "**Power by the size of the effect**" in titles
    # Another assumption is another question, whose answer is not there yet.
    widget(app, "number_input", "Users at the start").set_value(5000).run()
    assert figures(app) == {}
    widget(app, "number_input", "Messages that arrive (%)").set_value(50.0).run()
    press(app, "Work out the plan")
    assert figures(app)["Take part"] == "5,000"
    assumed = {"campaign": document(), "assumptions": {"users": 5000, "reach": 0.5}}
    halved = world.call("POST", "/v1/plan", json=assumed)["metrics"][0]["users_needed"]
    assert app.dataframe[0].value["Users needed"][0] == f"{halved:,}"
    assert world.call("GET", "/v1/experiments")["items"][0]["status"] == "draft"


PLAIN = {"key": "plain", "control": True, "message": {"template": "spring_plain", "language": "en_US"}}
PUSHY = {"key": "pushy", "message": {"template": "spring_pushy", "language": "en_US"}}


@pytest.mark.parametrize(
    ("language", "guards", "opt_outs", "users", "button", "words"),
    [
        ("en", "What its guards would stop", "Opt-outs of the control (%)", "Users at the start", "Work out the plan",
         "Should a variant double the opt-outs, from 3% in the control to 6%, a guard stops it. By the time 25% of 20,000 people are messaged, that is so in"),
        ("zh", "护栏能停止什么", "对照组的退订（%）", "开始时的用户数", "计算规划", "若某变体使退订翻倍（对照组 3%，该变体 6%），护栏会将其停止。 在 20,000 人中的 25% 收到消息之前"),
    ],
)  # fmt: skip
def test_a_plan_says_how_soon_doubled_opt_outs_are_stopped(
    world: Live, open_dashboard: Open, language: str, guards: str, opt_outs: str, users: str, button: str, words: str
) -> None:  # fmt: skip
    said = document(key="two", name="Two", variants=[PLAIN, PUSHY])
    world.call("POST", "/v1/experiments", json=said)
    app = open_dashboard("read")
    app.session_state["language"] = language
    app = open_page(app, "planner", way="campaign", campaign="experiment:two")
    widget(app, "number_input", users).set_value(20_000).run()
    widget(app, "number_input", opt_outs).set_value(3.0).run()
    press(app, button)
    shown = [item.value for item in app.markdown]
    (told,) = (text for text in shown if words in text)
    assert f"**{guards}**" in shown
    asked = {"campaign": said, "assumptions": {"users": 20_000, "baseline": {"opted_out": 0.03}}}
    (guard,) = world.call("POST", "/v1/plan", json=asked)["guards"]
    assert guard["base_source"] == "given"
    assert f"{guard['people_needed']:,}" in told
    assert guard["reasons"]
    # 20,000 messages are out in minutes, and their harm is known in an hour.
    assert guard["stopped_early"] == 0
    assert "0%" in told
    assert any("send more slowly, or in waves" in item.value for item in app.caption)


def test_a_draft_that_is_not_finished_says_what_is_missing(world: Live, open_dashboard: Open) -> None:
    app = open_page(open_dashboard("read"), "planner", way="campaign", campaign="draft:bare")
    press(app, "Work out the plan")
    assert "campaign.variants" in seen(app)
    assert "Open the draft bare" in seen(app)


def test_without_any_campaign_the_page_says_how_to_begin(open_dashboard: Open) -> None:
    app = open_page(open_dashboard("write"), "planner", way="campaign")
    assert "Design one first" in seen(app)
    assert "New campaign" in seen(app)
