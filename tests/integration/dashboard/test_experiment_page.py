"""The experiment's page against the API itself: its sections, what is done to an experiment, and what is said of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import yaml
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from analysis.reports.models import StoredReport
from analysis.reports.service import refresh_report
from api import jobs
from experiments.audit import AuditEntry
from experiments.repository import current_epoch, get_experiment
from experiments.stopped_arms import stop_arm
from targeting.models import Enrolment
from tests.integration import bandit_world
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live
from tests.integration.looks import campaign as looked_at
from tests.integration.looks import look_often
from tests.integration.segmented import segmented

Open = Callable[[str], AppTest]
DAY = timedelta(days=1)


def show(app: AppTest, section: str, key: str = "spring", **query: str) -> AppTest:
    return open_page(app, "result", experiment=key, show=section, **query)


def submit(app: AppTest, action: str, label: str, *, reason: str = "", sure: bool = True) -> AppTest:
    """The end of a form: its reason, the tick, the button."""
    if reason:
        asked(app, "text_input", f"{action}_reason").set_value(reason)
    if sure:
        asked(app, "checkbox", f"{action}_sure").check()
    return press(app, label)


def asked(app: AppTest, kind: str, name: str) -> Any:
    """A field of a form; behind its name stands how often the forms have been done."""
    (found,) = [field for field in getattr(app, kind) if str(field.key).rpartition(":")[0] == name]
    return found


@pytest.fixture
def looked(live: Live) -> Live:
    looked_at(
        live.wiring.database,
        live.clock,
        users=900,
        audience={"coverage": 0.5, "condition": {"left_at": None}},
    )
    look_often(live.wiring.database, live.clock, "spring", looks=4, every=timedelta(hours=40))
    return live


@pytest.fixture
def bandit(live: Live) -> Live:
    bandit_world.start(live.wiring.database, live.clock)
    for day in range(3):
        bandit_world.users_come(
            live.wiring.database, number=900, at=live.clock.now(), seed=day, rates=bandit_world.CLOSE
        )
        live.clock.advance(DAY)
        jobs.reallocate(live.wiring)
    with live.wiring.database.transaction() as session:
        refresh_report(session, live.clock, key="spring")
    return live


def state(live: Live) -> Any:
    with live.wiring.database.snapshot() as session:
        return get_experiment(session, "spring")


def weights(live: Live) -> dict[str, float]:
    with live.wiring.database.snapshot() as session:
        return dict(current_epoch(session, get_experiment(session, "spring").id or 0).weights)


def test_effects_over_time_are_drawn_and_told(looked: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("read"), "time", metric="revenue")
    page = seen(app)
    assert widget(app, "selectbox", "Metric").value == "revenue"
    assert "by the method 'spending' all of them hold together" in page
    assert len(app.get("vega_lite_chart")) == 1
    for moment in ("8 Dec 2026, 02:00 UTC", "6 Dec 2026, 10:00 UTC", "4 Dec 2026, 18:00 UTC"):
        assert f"{moment}\ncoupon\n" in page  # the looks, in the table


def test_the_posterior_is_drawn_and_told(looked: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("read"), "posterior")
    page = seen(app)
    assert "coupon is better than silence with probability" in page
    assert "Credible interval (95%)" in page
    assert len(app.get("vega_lite_chart")) >= 2


def kept(live: Live) -> int:
    with live.wiring.database.snapshot() as session:
        return len(session.exec(select(StoredReport.id)).all())


def test_a_small_live_experiment_is_counted_anew_once_a_minute(looked: Live, open_dashboard: Open) -> None:
    app = open_dashboard("read")
    for seconds, minute in ((50, "00"), (70, "02")):
        looked.clock.advance(timedelta(seconds=seconds))
        assert f"**as of 8 Dec 2026, 02:{minute} UTC**" in seen(show(app, "result"))


def test_a_large_one_shows_what_is_kept_until_somebody_asks_for_a_look(
    looked: Live, open_dashboard: Open
) -> None:
    with looked.wiring.database.transaction() as session:
        newest = session.exec(select(StoredReport).order_by(StoredReport.id.desc())).first()  # type: ignore[union-attr]
        assert newest is not None
        arms = [arm | {"assigned": 20_000} for arm in newest.body["arms"]]
        newest.body = {**newest.body, "arms": arms}
    looked.clock.advance(timedelta(hours=3))
    app = show(open_dashboard("read"), "result")
    assert ("20,000" in seen(app), "**as of 8 Dec 2026, 02:00 UTC**" in seen(app), kept(looked)) == (
        True,
        True,
        4,
    )
    press(app, "Look now")
    assert ("300" in seen(app), "20,000" in seen(app), kept(looked)) == (True, False, 5)


def test_a_stopped_one_is_only_read_and_looked_at_until_its_last_window_has_closed(
    looked: Live, open_dashboard: Open
) -> None:
    looked.call("POST", "/v1/experiments/spring/stop")
    looked.clock.advance(timedelta(days=30))
    app = show(open_dashboard("write"), "result")
    assert ("**as of 8 Dec 2026, 02:00 UTC**" in seen(app), kept(looked)) == (True, 4)
    # By that look not everybody had been measured.
    assert labels(app) == ["Look now", "Sign out"]
    press(app, "Look now")
    assert kept(looked) == 5
    assert labels(app) == ["Sign out"]
    assert "The traffic of an experiment that does not run" in seen(show(app, "traffic"))


def test_slices_are_asked_for_by_an_attribute_that_is_chosen(live: Live, open_dashboard: Open) -> None:
    segmented(live.wiring.database, live.clock, lifts=(6.0, 0.0, 0.0))
    app = show(open_dashboard("read"), "segments")
    assert "Choose an attribute. Slices are for finding questions" in seen(app)
    page = seen(show(open_dashboard("read"), "segments", by="day"))
    assert "2026-12-02" in page
    assert "no slice differs" in page


def test_traffic_says_what_the_bandit_did_and_why(bandit: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("read"), "traffic")
    page = seen(app)
    for words in (
        "Weights are decided by: **a bandit, Thompson sampling**, by bought. Next look: 5 Dec 2026, 10:00 UTC.",
        "Thompson sampling by bought:",
        "too early",
        "moved",
        "silence (control)",
        "Whose key may write can set weights",
    ):
        assert words in page, words
    assert len(app.get("vega_lite_chart")) == 1
    assert "Set the weights" not in labels(app)


def test_weights_are_set_by_hand_held_and_given_back(bandit: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "traffic")
    for variant, share in (("silence", 10.0), ("reminder", 20.0), ("coupon", 60.0)):
        asked(app, "number_input", f"weight:spring:{variant}").set_value(share)
    submit(app, "weights", "Set the weights", reason="a partner asks", sure=False)
    assert "Confirm the consequence" in app.error[0].value
    submit(app, "weights", "Set the weights", reason="a partner asks")
    assert "The shares sum to 90, and must sum to 100." in app.error[0].value
    asked(app, "number_input", "weight:spring:coupon").set_value(70.0)
    submit(app, "weights", "Set the weights", reason="a partner asks")
    assert "New users are drawn with the new weights." in app.success[0].value
    assert weights(bandit) == pytest.approx({"silence": 0.1, "reminder": 0.2, "coupon": 0.7})
    assert state(bandit).held_at is not None
    assert "Weights are held by hand since 4 Dec 2026, 10:00 UTC" in seen(app)
    submit(app, "release_bandit", "Resume the bandit", reason="over")
    assert state(bandit).held_at is None


def test_a_variant_is_added_and_retired(bandit: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "traffic")
    asked(app, "text_area", "add_document").set_value(
        "key: late\nmessage: {template: spring, language: en_US}"
    )
    asked(app, "number_input", "add_share").set_value(10.0)
    submit(app, "add", "Add the variant", reason="a new idea")
    assert "late takes part from now on." in app.success[0].value
    assert weights(bandit)["late"] == pytest.approx(0.1)
    asked(app, "selectbox", "retire_variant").set_value("reminder")
    asked(app, "radio", "retire_planned").set_value("cancel")
    submit(app, "retire", "Retire it", reason="dull")
    assert "reminder is retired." in app.success[0].value
    assert (weights(bandit)["reminder"], state(bandit).silenced) == (0, ["reminder"])
    assert "retired, sends nothing more" in seen(app)


def test_what_is_no_variant_is_said_and_not_sent(bandit: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "traffic")
    asked(app, "text_area", "add_document").set_value("key: [")
    submit(app, "add", "Add the variant", reason="a new idea")
    assert "This is not a variant" in app.error[0].value
    assert len(weights(bandit)) == 3


def test_a_stopped_variant_is_told_of_and_released(looked: Live, open_dashboard: Open) -> None:
    with looked.wiring.database.transaction() as session:
        stop_arm(
            session, looked.clock, actor="guards", key="spring", variant="coupon", guard="opted_out", reason="20 of 90 left", numbers={"verdicts": []},
        )  # fmt: skip
    app = show(open_dashboard("write"), "traffic")
    assert "stopped by opted_out: 20 of 90 left (8 Dec 2026, 02:00 UTC)" in seen(app)
    submit(app, "release", "Release it", reason="the words were wrong")
    assert "coupon goes on." in app.success[0].value
    assert weights(looked)["coupon"] > 0


def test_coverage_is_raised(looked: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "traffic")
    asked(app, "number_input", "ramp_coverage").set_value(80.0)
    submit(app, "ramp", "Raise it")
    assert "80% of the audience takes part." in app.success[0].value
    assert state(looked).definition["audience"]["coverage"] == 0.8


def test_a_winner_by_force_needs_a_reason_and_is_shipped(looked: Live, open_dashboard: Open) -> None:
    counts = {"assigned": 450, "excluded": {"coverage": 431, "consent": 40}}
    with looked.wiring.database.transaction() as session:
        started = {"started_at": looked.clock.now(), "finished_at": looked.clock.now()}
        session.add(Enrolment(experiment_id=state(looked).id, last_user_pk=921, counts=counts, **started))
    app = press(show(open_dashboard("write"), "result"), "Ship")
    page = seen(app)
    assert "The rest of the audience and everybody who comes gets it" in page
    assert "So far **450** users were drawn and keep their variant. **431** have none" in page
    assert "more may come" not in page
    app.selectbox(key="ship_variant:spring").set_value("reminder")
    app.checkbox(key="ship_force:spring").check()
    press(app, "Yes, ship it")
    assert "Say why" in app.error[0].value
    app.text_input(key="ship_reason:spring").set_value("the shop closes")
    press(app, "Yes, ship it")
    assert "reminder is shipped to everybody who comes." in [item.value for item in app.success]
    assert state(looked).shipped == "reminder"
    assert ":blue-badge[shipped: reminder]" in seen(app)
    assert "Ship" not in labels(app)


def test_shipping_what_the_report_does_not_ship_is_refused_in_words_of_this_page(
    looked: Live, open_dashboard: Open
) -> None:
    app = press(show(open_dashboard("write"), "result"), "Ship")
    app.selectbox(key="ship_variant:spring").set_value("silence")
    press(app, "Yes, ship it")
    told = app.error[0].value.replace("\\", "")
    assert told.startswith("It was not done: the newest report does not decide to ship this variant")
    assert "choose “Whatever the report says” and say why" in told
    assert "touchstone" not in told
    # It stays while the page asks again by itself.
    looked.clock.advance(timedelta(seconds=10))
    assert app.run().error[0].value.replace("\\", "") == told
    assert state(looked).shipped is None


def test_the_design_is_shown_as_a_file_with_a_way_to_copy_it(looked: Live, open_dashboard: Open) -> None:
    app = show(open_dashboard("write"), "design")
    design = yaml.safe_load(app.code[0].value)
    # That somebody has not left is a condition, though its value is none.
    audience = design["audience"]
    assert (design["key"], audience["coverage"], audience["condition"]) == ("spring", 0.5, {"left_at": None})
    copy = next(link.proto for link in app.get("page_link") if "Duplicate" in link.proto.label)
    assert (copy.page, copy.query_string) == ("new-campaign", "copy=spring")
    assert "Duplicate" not in seen(show(open_dashboard("read"), "design"))


def test_history_has_changes_reports_and_downloads(looked: Live, open_dashboard: Open) -> None:
    looked.call("POST", "/v1/experiments/spring/weights", json={"weights": {"silence": 1, "reminder": 1, "coupon": 2}, "reason": "why *not*"})  # fmt: skip
    app = show(open_dashboard("read"), "history")
    page = seen(app)
    for words in ("experiment.weights", "why *not*", "experiment.create", "let it run", "spending"):
        assert words in page, words
    assert [button.proto.label for button in app.get("download_button")] == [
        "Page (HTML)",
        "Table (CSV)",
        "Report (JSON)",
        "Download report 4",
    ]


def test_a_long_history_is_paged_in_the_address(looked: Live, open_dashboard: Open) -> None:
    with looked.wiring.database.transaction() as session:
        for number in range(25):
            session.add(AuditEntry(at=looked.clock.now(), actor="ann", action=f"did.{number:02}", subject_kind="experiment", subject_key="spring"))  # fmt: skip
    app = show(open_dashboard("read"), "history")
    assert ("did.24" in seen(app), "did.04" in seen(app)) == (True, False)
    app.button(key="older:changes").click().run()
    assert "changes" in app.query_params
    assert ("did.04" in seen(app), "did.24" in seen(app)) == (True, False)


def test_the_page_in_chinese(looked: Live, open_dashboard: Open) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Language").set_value("zh").run()
    page = seen(show(app, "result"))
    for words in ("每 100 名用户", "结果可信吗？", "主要效果：bought", "**截至 2026年12月8日 02:00 UTC**", "各组人数与计划一致"):  # fmt: skip
        assert words in page, words
    assert {"暂停", "停止", "发布", "立即查看"} <= set(labels(app))
