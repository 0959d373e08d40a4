"""Lifecycle, content, metrics, settings and errors."""

import itertools
from datetime import timedelta

import pytest
from pydantic import SecretStr

from experiments import content
from experiments.content import UsedAttribute
from experiments.errors import Conflict, Invalid, NotFound, Problem, Refused
from experiments.lifecycle import LEGAL_MOVES, Move, next_status
from experiments.settings import Settings, is_loopback
from experiments.vocabulary import ExperimentStatus


def test_exactly_the_moves_of_the_table_are_legal() -> None:
    legal = {
        ("draft", "start"): "running",
        ("running", "pause"): "paused",
        ("paused", "resume"): "running",
        ("running", "stop"): "stopped",
        ("paused", "stop"): "stopped",
    }
    assert {(str(a), str(b)): str(c) for (a, b), c in LEGAL_MOVES.items()} == legal
    for status, move in itertools.product(ExperimentStatus, Move):
        if (str(status), str(move)) in legal:
            assert next_status(status, move) == legal[str(status), str(move)]
        else:
            with pytest.raises(Conflict, match=f"cannot {move} an experiment that is {status}"):
                next_status(status, move)


def test_attributes_that_a_parameter_reads_are_found_with_whether_they_may_be_missing() -> None:
    source = "{{ user.first_name }} {{ user['city'] | default('you') }} {% if user.vip %}{{ user.tier }}{% endif %}"
    assert content.used_attributes(source) == [
        UsedAttribute("first_name", optional=False),
        UsedAttribute("city", optional=True),
        UsedAttribute("vip", optional=True),
        UsedAttribute("tier", optional=True),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "{{ range(9) }}",
        "{{ self }}",
        "{{ request.app }}",
        "{{ 'a' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ user.name | center(1000000000) }}",
        "{% for x in user.tags %}{{ coupon }}{% endfor %}",
        "{% set x = coupon ~ coupon %}",
        "{% include 'x' %}",
    ],
)
def test_a_parameter_reaches_nothing_but_its_variables(source: str) -> None:
    assert content.problems_in(source, field="p") != []


def test_a_parameter_has_a_longest_length() -> None:
    assert content.problems_in("x" * 4097, field="p")[0].field == "p"


def test_an_error_is_one_line_that_names_each_field() -> None:
    error = Invalid.of([Problem("a", "is wrong"), Problem("b[0]", "too")])
    assert str(error) == "a: is wrong; b[0]: too"
    assert str(NotFound("there is no x", field="key")) == "key: there is no x"


def test_settings_come_from_the_environment_and_a_wrong_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHSTONE_CAP_INTERVAL", "12h")
    monkeypatch.setenv("TOUCHSTONE_CAP_WEEK", "")
    monkeypatch.setenv("TOUCHSTONE_QUIET_HOURS", "21:00-08:00")
    monkeypatch.setenv("TOUCHSTONE_DATABASE_URL", "postgresql://u@h/n")
    settings = Settings.from_environment()
    assert settings.cap_interval == timedelta(hours=12)
    assert settings.cap_week is None
    assert settings.quiet_hours == "21:00-08:00"
    assert settings.database_url == "postgresql+psycopg://u@h/n"
    monkeypatch.setenv("TOUCHSTONE_CAP_INTERVAL", "a week")
    monkeypatch.setenv("TOUCHSTONE_CAP_WEEK", "-1")
    monkeypatch.setenv("TOUCHSTONE_QUIET_HOURS", "21:00")
    with pytest.raises(Invalid) as caught:
        Settings.from_environment()
    assert {problem.field for problem in caught.value.problems} == {
        "TOUCHSTONE_CAP_INTERVAL",
        "TOUCHSTONE_CAP_WEEK",
        "TOUCHSTONE_QUIET_HOURS",
    }


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHSTONE_WHATSAPP_TOKEN", "very-secret")
    settings = Settings.from_environment()
    assert "very-secret" not in repr(settings)
    assert settings.whatsapp_token.get_secret_value() == "very-secret"


def test_a_demo_refuses_to_speak_to_anybody_but_this_machine() -> None:
    with pytest.raises(Refused, match="not this machine"):
        Settings(whatsapp_loopback_only=True, whatsapp_phone_number_id="1").check_whatsapp()
    hosts = ("[::1]:9", "localhost:1", "10.0.0.1", "127.0.0.1.example.org")
    assert [is_loopback(f"http://{host}") for host in hosts] == [True, True, False, False]


def test_sending_without_a_number_is_refused_by_the_name_of_the_setting() -> None:
    with pytest.raises(Invalid, match="TOUCHSTONE_WHATSAPP_PHONE_NUMBER_ID"):
        Settings().check_whatsapp()


@pytest.mark.parametrize(
    "source",
    ["plain", "{{ user.name | default('you') | upper }}", "{% if user.age > 17 %}a{% else %}b{% endif %}"],
)
def test_ordinary_parameters_pass(source: str) -> None:
    assert content.problems_in(source, field="p") == []


def test_settings_say_what_they_leave_undone() -> None:
    assert "nothing will be sent" in Settings().advice()[0]
    sending = Settings(whatsapp_phone_number_id="1", whatsapp_token=SecretStr("t"))
    assert "TOUCHSTONE_WHATSAPP_APP_SECRET" in sending.advice()[0]
    assert "TOUCHSTONE_ERASURE_SECRET" in sending.advice()[-1]
    secrets = {"whatsapp_app_secret": SecretStr("s"), "erasure_secret": SecretStr("s")}
    assert sending.model_copy(update=secrets).advice() == []
