"""Profiles: what may stand in them, and how changes are applied to a batch of people."""

import pytest

from experiments.errors import Conflict, Invalid
from targeting.profile import (
    MAX_CALL_BYTES,
    MAX_PROFILE_BYTES,
    check_document,
    check_locale,
    check_text,
    check_time_zone,
    check_user_id,
    mask_phone,
    merge_attributes,
)
from targeting.roster import ProfileChange, Roster
from targeting.user_repository import Person
from targeting.users import normalise_phone


def problem(error: pytest.ExceptionInfo[Invalid]) -> tuple[str, str]:
    return error.value.problems[0].field, error.value.problems[0].message


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+12025550123", "", "+12025550123"),  # +1 NXX 555 01XX is reserved for fiction
        ("+1 (202) 555-0123", "", "+12025550123"),
        ("+447700900123", "", "+447700900123"),  # reserved for drama by Ofcom, in use by nobody
        ("202-555-0123", "US", "+12025550123"),
        ("06 12345678", "NL", "+31612345678"),
        ("+31 (0)6 12345678", "", "+31612345678"),
        ("+12025550123", "NL", "+12025550123"),
    ],
)
def test_a_phone_number_becomes_e164(text: str, region: str, expected: str) -> None:
    assert normalise_phone(text, default_region=region) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0612345678", "has no country code"),
        ("+1202555", "is too short"),
        ("+120255501234567", "is too long"),
        ("+9991234567", "has an unknown country code"),
        ("1-800-FLOWERS", "contains letters"),
        ("3.16E+11", "contains letters"),
        ("+12025550123 ext 5", "contains letters"),
        ("", "is not a phone number"),
        ("?", "is not a phone number"),
    ],
)
def test_what_is_no_phone_number_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Invalid) as error:
        normalise_phone(text, default_region="")
    field, message = problem(error)
    assert field == "phone"
    assert message.startswith(why)


def test_an_unknown_region_is_the_settings_fault_not_the_numbers() -> None:
    with pytest.raises(Invalid) as error:
        normalise_phone("0612345678", default_region="Holland")
    assert problem(error)[0] == "default_region"


def test_time_zones_and_locales() -> None:
    assert check_time_zone("Europe/Amsterdam") == "Europe/Amsterdam"
    assert check_locale("pt_BR") == "pt_BR"
    assert check_locale("zh-Hant-TW") == "zh-Hant-TW"
    for bad in ("Amsterdam", "+01:00", "", "../etc/passwd"):
        with pytest.raises(Invalid, match="time_zone"):
            check_time_zone(bad)
    for bad in ("", "english please", "e", "nl_", "a" * 40):
        with pytest.raises(Invalid, match="locale"):
            check_locale(bad)


@pytest.mark.parametrize("bad", ["", "x" * 201, "a\0b", "a\ud800"])
def test_text_that_a_database_cannot_hold_is_refused(bad: str) -> None:
    with pytest.raises(Invalid, match="name"):
        check_text(bad, field="name")


def test_nobody_can_pose_as_an_anonymous_user() -> None:
    with pytest.raises(Invalid, match="user_id"):
        check_user_id("anonymous:1")


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"a": float("nan")}, "properties.a"),
        ({"a": [1, {"b": float("inf")}]}, "properties.a[1].b"),
        ({"a": 2**63}, "properties.a"),
        ({"a": "x\0"}, "properties.a"),
        ({"a": "\udc80"}, "properties.a"),
        ({"a": {"b\0": 1}}, "properties.a"),
        ({"a": object()}, "properties.a"),
        ({"": 1}, "properties"),
        ({"a": "x" * MAX_CALL_BYTES}, "properties"),
    ],
)
def test_json_that_would_not_come_back_the_same_is_refused(document: dict[str, object], path: str) -> None:
    with pytest.raises(Invalid) as error:
        check_document(document, field="properties")
    assert problem(error)[0] == path


def test_deep_json_is_refused_before_it_overflows_anything() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(Invalid, match="deep"):
        check_document(deep, field="traits")
    lists: list[object] = []
    for _ in range(30):
        lists = [lists]
    with pytest.raises(Invalid, match="deep"):
        check_document({"a": lists}, field="traits")


def test_ordinary_json_is_taken() -> None:
    check_document(
        {"a": [1, 2.5, None, True, "é\\u0000"], "b": {"c": "12345678901234567890"}, "d": [{}] * 30}, field="p"
    )


def test_merging_replaces_removes_and_keeps() -> None:
    assert merge_attributes({"a": 1, "b": 2, "c": 3}, {"a": 9, "b": None, "d": 4}) == {"a": 9, "c": 3, "d": 4}
    assert merge_attributes({}, {"a": None}) == {}


def test_a_profile_does_not_grow_without_bound() -> None:
    with pytest.raises(Invalid, match="at most"):
        merge_attributes({"a": "x" * MAX_PROFILE_BYTES}, {"b": 1})


def test_a_phone_is_masked_for_the_audit_log() -> None:
    assert mask_phone("+12025550123") == "…23"
    assert mask_phone(None) is None


def person(user_id: str, pk: int, phone: str | None = None, **attributes: object) -> Person:
    return Person(user_id=user_id, id=pk, phone=phone, attributes=attributes)


def test_a_roster_knows_who_is_new_and_who_differs() -> None:
    roster = Roster([person("a", 1, plan="free"), person("b", 2, plan="free")], {})
    roster.apply(ProfileChange("a", attributes={"plan": "paid"}))
    roster.apply(ProfileChange("b", attributes={"plan": "free"}))
    roster.apply(ProfileChange("c"))
    assert [p.user_id for p in roster.changed] == ["a"]
    assert [p.user_id for p in roster.newcomers] == ["c"]


def test_true_is_not_one() -> None:
    roster = Roster([person("a", 1, vip=1)], {})
    roster.apply(ProfileChange("a", attributes={"vip": True}))
    assert [p.attributes for p in roster.changed] == [{"vip": True}]


def test_a_phone_has_one_owner_and_a_refused_change_changes_nothing() -> None:
    roster = Roster([person("a", 1, "+1")], {"+1": "a", "+9": "elsewhere"})
    for phone in ("+1", "+9"):
        with pytest.raises(Conflict) as error:
            roster.apply(ProfileChange("b", phone=phone, attributes={"x": 1}, phone_field="mobile"))
        assert error.value.problems[0].field == "mobile"
    assert roster.get("b") is None
    assert not roster.changed


def test_numbers_can_be_handed_on_within_a_batch() -> None:
    roster = Roster([person("a", 1, "+1"), person("b", 2, "+2")], {"+1": "a", "+2": "b"})
    roster.apply(ProfileChange("a", phone="+3"))
    roster.apply(ProfileChange("b", phone="+1"))
    roster.apply(ProfileChange("c", phone="+2"))
    assert roster.moving_phones == [1, 2]
    assert [p.phone for p in roster.changed] == ["+3", "+1"]
    assert [p.phone for p in roster.newcomers] == ["+2"]


def test_a_renamed_person_keeps_the_phone() -> None:
    guest = person("anonymous:x", 1, "+1")
    roster = Roster([guest], {"+1": "anonymous:x"})
    roster.rename(guest, "a")
    roster.apply(ProfileChange("a", phone="+1"))
    assert roster.changed == [guest]
    assert guest.user_id == "a"
