"""What a person sees in the dashboard, page by page, against a fake API on loopback."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from tests.integration.dashboard.browsing import APP, labels, open_page, press, seen, sign_in
from tests.integration.dashboard.fake_api import KEYS, OUTBOX, FakeApi
from tests.unit.dashboard import samples

WINS = "coupon brings 7.00 to 8.32 more"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi(
        experiments=[
            samples.experiment(),
            samples.experiment("early", name="Early birds cost $5 or *more*"),
            samples.experiment("sale", name="Summer sale", status="draft"),
        ],
        reports={"spring-wakeup": samples.winning_report(), "early": samples.early_report()},
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = fake.answer(
                self.command, urlsplit(self.path).path, self.headers.get("Authorization")
            )
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the name is that of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def app(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", "--api-url", api.url])
    return AppTest.from_file(str(APP), default_timeout=60).run()


@pytest.fixture
def signed_in(app: AppTest) -> AppTest:
    return sign_in(app, "ts_writer")


@pytest.fixture
def listed(signed_in: AppTest) -> AppTest:
    return open_page(signed_in, "experiments")


def open_result(app: AppTest, key: str, **query: str) -> AppTest:
    return open_page(app, "result", experiment=key, **query)


def test_nothing_is_shown_before_the_sign_in(app: AppTest) -> None:
    assert "Which message works" in seen(app)
    assert "Wake up customers" not in seen(app)
    assert labels(app) == ["Sign in"]


def test_a_wrong_key_is_refused_with_the_reason(app: AppTest) -> None:
    sign_in(app, "ts_wrong")
    assert app.error[0].value == "This key is not accepted: this key is not known"
    assert "Wake up customers" not in seen(app)


@pytest.mark.parametrize(
    ("key", "sentence"), [("", "Enter an API key."), ("two words", "a key has no blanks")]
)
def test_what_is_no_key_is_not_even_sent(app: AppTest, key: str, sentence: str) -> None:
    sign_in(app, key)
    assert sentence in seen(app)


def test_an_api_that_is_down_is_said_at_the_sign_in(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--api-url", "http://127.0.0.1:9"])
    app = sign_in(AppTest.from_file(str(APP), default_timeout=60).run(), "ts_writer")
    assert "The API at http://127.0.0.1:9 does not answer. Is it running?" in seen(app)


def test_the_list_shows_state_effect_health_and_size(listed: AppTest) -> None:
    page = seen(listed)
    assert "**Wake up customers who have gone quiet**" in page
    assert "**+7.66 points** (+7.00 to +8.32), better ![+7.66 points (+7.00 to +8.32), better](data:" in page
    assert "visited, coupon against silence" in page
    assert ":material/info: notice" in page
    assert "64,000 :small[users]" in page
    assert "40,119 :small[messages]" in page
    assert "cannot tell yet" in page
    assert "not started" in page


def test_each_row_leads_to_an_address_that_can_be_bookmarked(listed: AppTest) -> None:
    links = [link.proto for link in listed.get("page_link")]
    targets = {link.label: (link.page, link.query_string) for link in links}
    assert targets["**Wake up customers who have gone quiet**"] == ("result", "experiment=spring-wakeup")


def test_a_list_stays_visible_while_the_api_is_down_and_is_marked(listed: AppTest, api: FakeApi) -> None:
    api.broken = 503
    listed.run()
    assert "the database is busy or cannot be reached; try again" in listed.warning[0].value
    assert "Wake up customers" in seen(listed)
    api.broken = None
    assert "may be out of date" not in seen(press(listed, "Try again"))


def test_a_list_that_cannot_be_had_offers_another_try(signed_in: AppTest, api: FakeApi) -> None:
    api.broken = 503
    listed = open_page(signed_in, "experiments")
    assert [item.value for item in listed.error] == ["the database is busy or cannot be reached; try again"]
    api.broken = None
    assert "Wake up customers" in seen(press(listed, "Try again"))


def test_the_result_begins_with_the_answer_in_words(signed_in: AppTest) -> None:
    page = seen(open_result(signed_in, "spring-wakeup"))
    headline = signed_in.success[0].value.replace("\\", "").replace("\u00a0", " ")
    assert headline == (
        "### coupon brings 7.00 to 8.32 more “visited” per 100 users than silence; safe to ship\n\n"
        "visited is 18.28% with coupon and 10.62% with silence: +7.66 points (95% interval +7.00 to +8.32).\n\n"
        "**Why:** coupon beats silence on visited at the planned end, and beats every other variant."
    )
    assert "**as of 15 Dec 2026, 10:00 UTC**" in page


def test_the_result_has_every_number_as_text(signed_in: AppTest) -> None:
    page = "".join(
        seen(open_result(signed_in, "spring-wakeup", show=section))
        for section in ("result", "metrics", "messages")
    )
    for text in (
        "+7.66 points (+7.00 to +8.32)",  # the effect, absolute
        "+72.1% (+64.7% to +79.6%)",  # and relative
        "−0.10 (−0.39 to +0.18)",  # a mean is in its own unit
        "no clear difference yet",
        "harm of more than 0.2 points is ruled out",  # the guardrail
        "18,840 (94.1%)",  # the funnel
        "1,090 at the cap, 206 no consent",
        "the arms are as large as planned",  # health
        "the e-value reaches 1,000, however often",
        "the arms got this far at different rates: an effect of the messages, not a fault of the split",
        "Not (yet) sent: 40 waiting, 12 failed. Every planned message is accounted for.",
        "opted_out: no relative effect, because silence is within 3 standard errors of 0",  # a warning
    ):
        assert text in page


def test_only_the_section_that_is_chosen_is_shown_and_asked_for(signed_in: AppTest, api: FakeApi) -> None:
    open_result(signed_in, "spring-wakeup")
    assert len(signed_in.get("vega_lite_chart")) == 2
    assert not any("summary" in path or "audit" in path for path in api.asked)
    signed_in.button_group[0].set_value("messages").run()
    assert signed_in.query_params["show"] == "messages"
    assert (len(signed_in.get("vega_lite_chart")), api.asked[-2:]) == (
        1,
        ["/v1/delivery/summary", "/v1/experiments/spring-wakeup/enrolment"],
    )


def test_effects_by_factor_stand_below_their_metric(signed_in: AppTest, api: FakeApi) -> None:
    told = {
        "relative": None,
        "p_value": 0.01,
        "adjusted_p_value": 0.02,
        "significant": True,
        "absolute": samples.interval(0.05, 0.01, 0.09),
    }
    both = {"factors": ["content", "hour"], "levels": ["coupon", "late"], "against": ["plain", "early"]}
    one = {"factors": ["content"], "levels": ["coupon"], "against": ["plain"]}
    report = samples.winning_report()
    report["metrics"][0]["factors"] = [
        {"kind": "main", **one, **told},
        {"kind": "interaction", **both, **told, "absolute": None, "significant": None},
    ]
    api.reports["spring-wakeup"] = report
    page = seen(open_result(signed_in, "spring-wakeup", show="metrics"))
    assert "Effects by factor: visited" in page
    assert "content\ncoupon\nplain\n+5.0 points (+1.0 to +9.0)\n–\n0.020\nyes" in page
    assert "content × hour\ncoupon × late\nplain × early\n–\n–\n0.020\n–" in page


def test_an_alert_of_a_kind_that_is_new_is_said_as_the_api_says_it(app: AppTest, api: FakeApi) -> None:
    alert = {"kind": "moon_is_full", "severity": "amber", "detail": "howl *loud*"}
    api.overview = samples.overview(alerts=[alert] * 8, live=[], not_looked_at=3)
    page = seen(sign_in(app, "ts_reader"))
    assert app.warning[0].value.replace("\\", "") == "moon is full: howl *loud*"
    assert "3 live experiments were not looked at" in page
    assert [item.label for item in app.expander] == ["2 more alerts"]


def test_a_result_without_numbers_says_cannot_tell_and_why(signed_in: AppTest) -> None:
    page = seen(open_result(signed_in, "early"))
    assert "Too early to call: let it run" in page
    assert "coupon against silence: cannot tell yet: no user of any arm has a closed window of 7 days" in page
    assert "not known yet: 41, 39, 44 users are too few" in page
    page += seen(open_result(signed_in, "early", show="messages"))
    assert "No message has been accepted by WhatsApp yet." in page
    assert "nan" not in page.lower()
    assert not signed_in.get("vega_lite_chart")


def test_a_broken_split_stands_above_the_headline(signed_in: AppTest, api: FakeApi) -> None:
    checks = [samples.srm("assigned", ok=False, p_value=1e-12, detail="9000 : 1000")]
    api.reports["spring-wakeup"] = samples.winning_report() | {"health": checks}
    open_result(signed_in, "spring-wakeup")
    assert "Health alarm." in signed_in.error[0].value
    assert "do not trust the effects" in signed_in.error[0].value


def test_messages_that_do_not_add_up_are_an_alarm(signed_in: AppTest, api: FakeApi) -> None:
    api.outbox = OUTBOX | {"holds": False}
    assert "The messages do not add up" in seen(open_result(signed_in, "spring-wakeup", show="messages"))


def test_names_are_shown_letter_by_letter(signed_in: AppTest) -> None:
    open_result(signed_in, "early")
    assert signed_in.header[0].value == r"Early birds cost \$5 or \*more\*"


def test_a_draft_shows_its_arms_and_asks_before_it_starts(signed_in: AppTest, api: FakeApi) -> None:
    page = seen(open_result(signed_in, "sale"))
    assert "It has not started, so there is nothing to report." in page
    assert "spring_coupon" in page
    assert "real messages go out" in seen(press(signed_in, "Start"))
    assert api.moves == []
    press(signed_in, "Yes, start it")
    assert api.moves == ["start sale"]
    assert {"Pause", "Stop", "Ship"} <= set(labels(signed_in))
    assert "It has started." in seen(signed_in)
    assert "There is no report yet: nobody has been assigned yet" in seen(signed_in)


def test_a_move_can_be_called_off(signed_in: AppTest, api: FakeApi) -> None:
    open_result(signed_in, "spring-wakeup")
    assert "a stopped experiment cannot be started again" in seen(press(signed_in, "Stop"))
    press(signed_in, "No, leave it")
    assert api.moves == []
    assert {"Pause", "Stop"} <= set(labels(signed_in))


def test_pause_and_resume(signed_in: AppTest, api: FakeApi) -> None:
    open_result(signed_in, "spring-wakeup")
    for label, answer in (("Pause", "Yes, pause it"), ("Resume", "Yes, resume it")):
        press(press(signed_in, label), answer)
    assert api.moves == ["pause spring-wakeup", "resume spring-wakeup"]


def test_a_refused_move_tells_why(signed_in: AppTest, api: FakeApi) -> None:
    api.experiments.append(samples.experiment("nobody", status="draft"))
    open_result(signed_in, "nobody")
    press(press(signed_in, "Start"), "Yes, start it")
    assert "It was not done: nobody is in the audience" in seen(signed_in)


def test_a_key_that_may_only_read_gets_no_buttons(app: AppTest) -> None:
    open_result(sign_in(app, "ts_reader"), "spring-wakeup")
    assert WINS in seen(app)
    assert labels(app) == ["Look now", "Sign out"]


def test_a_result_stays_visible_while_the_api_is_down_and_is_marked_stale(
    signed_in: AppTest, api: FakeApi
) -> None:
    open_result(signed_in, "spring-wakeup")
    api.broken = 503
    signed_in.run()
    assert "they may be out of date" in signed_in.warning[0].value
    assert WINS in seen(signed_in)
    api.broken = None
    assert "out of date" not in seen(press(signed_in, "Try again"))


def test_a_section_is_stale_with_its_page_and_the_page_says_it_once(signed_in: AppTest, api: FakeApi) -> None:
    open_result(signed_in, "spring-wakeup", show="messages")
    api.broken = 503
    signed_in.run()
    assert "40 waiting" in seen(signed_in)
    assert "This was last heard" in seen(signed_in)
    assert (len(signed_in.warning), labels(signed_in).count("Try again")) == (1, 1)
    signed_in.button_group[0].set_value("history").run()
    assert WINS in seen(signed_in)
    assert "the database is busy" in signed_in.error[0].value
    assert labels(signed_in).count("Try again") == 1


def test_a_result_never_seen_is_an_error_with_another_try(signed_in: AppTest, api: FakeApi) -> None:
    api.broken = 503
    open_result(signed_in, "spring-wakeup")
    assert "try again" in signed_in.error[0].value
    api.broken = None
    assert WINS in seen(press(signed_in, "Try again"))


def test_an_unknown_experiment_is_said(signed_in: AppTest) -> None:
    assert "there is no experiment 'gone'" in seen(open_result(signed_in, "gone"))


def test_the_result_page_without_an_experiment_points_to_the_list(signed_in: AppTest) -> None:
    assert "Choose an experiment from the list" in seen(signed_in.switch_page("views/result.py").run())


def test_a_bookmark_survives_the_sign_in(app: AppTest) -> None:
    open_result(app, "spring-wakeup")
    assert WINS not in seen(app)
    assert WINS in seen(sign_in(app, "ts_reader"))


def test_signing_out_forgets_the_key_and_everything_seen(signed_in: AppTest) -> None:
    open_result(signed_in, "spring-wakeup")
    press(signed_in, "Sign out")
    assert WINS not in seen(signed_in)
    assert "access" not in signed_in.session_state
    assert "heard:result:spring-wakeup" not in signed_in.session_state


def test_a_revoked_key_leads_back_to_the_sign_in(
    signed_in: AppTest, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_result(signed_in, "spring-wakeup")
    monkeypatch.delitem(KEYS, "Bearer ts_writer")
    signed_in.run()
    assert "Your key is no longer accepted. Sign in again." in seen(signed_in)
    assert WINS not in seen(signed_in)
