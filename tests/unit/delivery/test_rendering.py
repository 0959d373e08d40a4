"""What a parameter says for one user, and what is refused instead of being sent."""

from datetime import UTC, datetime
from typing import Any

import pytest

from delivery.content.rendering import COUPON_LENGTH, coupon, write
from delivery.whatsapp.payloads import MAX_BODY
from experiments.errors import Invalid
from experiments.treatments import MessageContent

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)


def shown(*sources: str, time_zone: str | None = None, **attributes: Any) -> tuple[str, ...]:
    message = MessageContent(template="t", language="en", parameters=sources)
    return write(
        message,
        user_id="u-1",
        attributes=attributes,
        time_zone=time_zone,
        locale=None,
        experiment="spring",
        variant="coupon",
        now=NOW,
        window_open=False,
    ).parameters


def refusal(*sources: str, **attributes: Any) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        shown(*sources, **attributes)
    (problem,) = caught.value.problems
    return problem.field, problem.message


def test_no_parameters() -> None:
    assert shown() == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hi {{ user.first_name }}!", "Hi Ann!"),
        ("{{ user['last order'] }}", "A-7"),
        ("{{ user.address.city }}", "Utrecht"),
        ("{{ user.items }} {{ user.get }}", "3 4"),  # names that a dict has methods for
        ("{{ user.tags | join(', ') }}", "vip, new"),
        ("{{ user.user_id }}", "u-1"),
        ("{{ user.nickname | default('you') }}", "you"),
        ("{{ user.nothing | default('you') }}", "you"),
        ("{% if user.nickname %}a{% else %}b{% endif %}", "b"),
        ("{{ user.nickname or 'friend' }}", "friend"),
        ("{{ experiment }}/{{ variant }}", "spring/coupon"),
        ("{{ '%.2f' % user.spend }}", "9.50"),
    ],
)
def test_variables(source: str, text: str) -> None:
    attributes = {
        "first_name": "Ann",
        "last order": "A-7",
        "address": {"city": "Utrecht"},
        "items": 3,
        "get": 4,
        "tags": ["vip", "new"],
        "nothing": None,
        "spend": 9.5,
    }
    assert shown(source, **attributes) == (text,)


def test_now_is_on_the_users_clock() -> None:
    assert shown("{{ now.strftime('%H:%M') }}", time_zone="Asia/Kolkata") == ("15:30",)
    assert shown("{{ now.strftime('%H:%M') }}", time_zone="Nowhere") == ("10:00",)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ user.first_name }}", "user.first_name is missing"),
        ("{{ user.nothing }}", "user.nothing is missing"),
        ("{{ user.first_name | upper }}", "user.first_name is missing"),
        ("{{ user.first_name.upper() }}", "user.first_name is missing"),
        ("{{ user.address.street }}", "user.address.street is missing"),
        ("{{ user.address }}", "user.address is a record"),
        ("{{ user }}", "user is a record"),
        ("{% for name in user %}{{ name }}{% endfor %}", "user is a record"),
        ("{{ user.phone }}", "user.phone is missing"),
        ("{{ user._values }}", "unsafe"),
        ("{{ user.__class__ }}", "unsafe"),
        ("{{ ().__class__.__mro__ }}", "unsafe"),
        ("{{ user.spend + 'x' }}", "cannot be rendered"),
        ("{{ user.spend / 0 }}", "cannot be rendered"),
        ("{{ user.half }}", "cannot be rendered"),
        ("{{ user.blank }}", "is empty for this user"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(source: str, named: str) -> None:
    field, message = refusal(
        "fine", source, nothing=None, address={"city": "Utrecht"}, spend=1, half="\ud800", blank=" \n "
    )
    assert field == "parameters[1]"
    assert named in message


def test_breaks_become_spaces() -> None:
    assert shown("a\r\n\tb{{ user.x }}     d", x="\x00c\u2028") == ("a b c d",)


def test_a_space_that_does_not_break_is_kept() -> None:
    assert shown("{{ user.price }}", price="1\u00a0000\u202f€") == ("1\u00a0000\u202f€",)


def test_length_is_bounded() -> None:
    assert shown("{{ user.x }}", x="x" * MAX_BODY) == ("x" * MAX_BODY,)
    assert "1025 characters" in refusal("{{ user.x }}", x="x" * (MAX_BODY + 1))[1]


def test_coupon_is_stable_and_differs_by_user_experiment_and_secret() -> None:
    code = coupon(experiment="spring", user_id="u-1", secret="s")
    assert shown("{{ coupon }}") == (coupon(experiment="spring", user_id="u-1"),)
    assert code == coupon(experiment="spring", user_id="u-1", secret="s")
    others = [
        coupon(experiment="spring", user_id="u-2", secret="s"),
        coupon(experiment="spring2", user_id="u-1", secret="s"),
        coupon(experiment="spring", user_id="u-1", secret="t"),
        coupon(experiment="spring", user_id="u-1"),
    ]
    assert len({code, *others}) == 5


def test_coupons_are_short_readable_and_do_not_collide() -> None:
    codes = {coupon(experiment="spring", user_id=f"u-{number}") for number in range(5_000)}
    assert len(codes) == 5_000
    assert {len(code) for code in codes} == {COUPON_LENGTH}
    assert set("".join(codes)) == set("ABCDEFGH9JKLMN8PQRSTUVWXYZ234567")


@pytest.mark.parametrize(
    "value",
    ["Ann", " Ann \n B ", "{{ 7 * 7 }}", "", "\ud800", "\u202eAnn", 7, 2.5, True, None, ["a"], {"b": 1}],
)
@pytest.mark.parametrize("name", ["first_name", "user_id", "items", "absent"])
def test_an_attribute_alone_says_what_it_says_among_other_things(name: str, value: Any) -> None:
    """A bare attribute is read without Jinja; with an empty text behind it, Jinja reads it."""

    def said(source: str) -> Any:
        try:
            return shown(source, first_name=value, items=value)
        except Invalid as error:
            return error.message.replace(repr(source), "")

    assert said(f"{{{{ user.{name} }}}}") == said(f"{{{{ user.{name} }}}}{{{{ '' }}}}")
