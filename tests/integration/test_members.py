"""The list of people who may sign in with an account: over HTTP, on the command line, in the settings."""

import pytest
from fastapi.testclient import TestClient

from api import members
from api.wiring import Wiring
from experiments.errors import Invalid
from experiments.settings import Settings
from experiments.vocabulary import Role
from tests.integration.command_line import CommandLine
from tests.integration.test_api_access import bearer

ADA = "/v1/members/ada@example.com"


def test_people_are_added_changed_listed_and_removed_and_all_of_it_is_in_the_log(
    http: TestClient, keys: dict[str, str]
) -> None:
    admin = bearer(keys["admin"])
    made = http.put("/v1/members/Ada@Example.com", headers=admin, json={"role": "reader"})
    assert made.status_code == 200, made.text
    assert made.json() | {"created_at": 0, "updated_at": 0} == {
        "email": "ada@example.com",
        "role": "reader",
        "disabled": False,
        "created_at": 0,
        "updated_at": 0,
        "signed_in_at": None,
    }
    assert http.put(ADA, headers=admin, json={"role": "reader"}).json() == made.json()
    assert http.put(ADA, headers=admin, json={"role": "admin", "disabled": True}).json()["disabled"] is True
    assert http.get(ADA, headers=admin).json()["role"] == "admin"
    assert http.delete("/v1/members/ADA@example.com", headers=admin).status_code == 204
    assert http.get(ADA, headers=admin).status_code == 404
    assert http.delete(ADA, headers=admin).status_code == 404
    log = http.get("/v1/audit", headers=admin, params={"subject_kind": "member"}).json()["items"]
    assert [(entry["action"], entry["before"], entry["after"]) for entry in log] == [
        ("member.remove", {"role": "admin", "disabled": True}, None),
        ("member.change", {"role": "reader", "disabled": False}, {"role": "admin", "disabled": True}),
        ("member.create", None, {"role": "reader", "disabled": False}),
    ]
    assert {entry["subject_key"] for entry in log} == {"ada@example.com"}


def test_the_list_is_paged(http: TestClient, keys: dict[str, str]) -> None:
    http.headers.update(bearer(keys["admin"]))
    for number in range(3):
        http.put(f"/v1/members/p{number}@example.com", json={"role": "reader"})
    first = http.get("/v1/members", params={"limit": 2}).json()
    rest = http.get("/v1/members", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    found = [person["email"] for person in first["items"] + rest["items"]]
    assert found == [f"p{number}@example.com" for number in range(3)]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("scope", ["read", "write", "ingest", "evaluate"])
def test_only_admins_hand_out_access(http: TestClient, keys: dict[str, str], scope: str) -> None:
    http.headers.update(bearer(keys[scope]))
    answers = [
        http.get("/v1/members"),
        http.get(ADA),
        http.put(ADA, json={"role": "admin"}),
        http.delete(ADA),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4


@pytest.mark.parametrize(
    ("email", "body", "field"),
    [
        ("nobody", {"role": "reader"}, "email"),
        ("a@b@c", {"role": "reader"}, "email"),
        ("a b@c", {"role": "reader"}, "email"),
        (f"{'a' * 190}@c", {"role": "reader"}, "email"),
        ("ada@example.com", {"role": "owner"}, "role"),
        ("ada@example.com", {"role": "reader", "since": 1}, "since"),
        ("ada@example.com", {}, "role"),
    ],
)
def test_what_is_wrong_is_named(
    http: TestClient, keys: dict[str, str], email: str, body: dict[str, object], field: str
) -> None:
    answer = http.put(f"/v1/members/{email}", headers=bearer(keys["admin"]), json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_nobody_changes_or_removes_themselves(http: TestClient, wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        members.put_member(session, wiring.clock, actor="t", email="ada@example.com", role=Role.ADMIN)
        _member, _key, text = members.begin_session(
            session, wiring.clock, email="ada@example.com", lifetime=wiring.settings.session_lifetime
        )
    http.headers.update(bearer(text))
    for answer in (http.put(ADA, json={"role": "reader"}), http.delete(ADA)):
        assert answer.status_code == 409
        assert "ask another admin" in answer.json()["detail"]
    assert http.put("/v1/members/bob@example.com", json={"role": "admin"}).status_code == 200
    assert http.get(ADA).json()["role"] == "admin"


def test_the_command_line_does_the_same(touchstone: CommandLine) -> None:
    added = touchstone("members", "add", "Ada@Example.com", "--role", "editor")
    assert (added.returncode, added.stdout) == (0, "ada@example.com is editor\n")
    assert "nobody can sign in with an account yet" in added.stderr
    issuer = {"TOUCHSTONE_OIDC_ISSUER": "https://id.example", "TOUCHSTONE_OIDC_AUDIENCE": "dashboard"}
    off = touchstone("members", "add", "ada@example.com", "--role", "admin", "--disabled", **issuer)
    assert (off.stdout, off.stderr) == ("ada@example.com is admin, and switched off\n", "")
    listed = touchstone("members", "list").stdout
    assert "ada@example.com" in listed
    assert "admin" in listed
    assert touchstone("members", "remove", "ada@example.com").stdout == "removed ada@example.com\n"
    gone = touchstone("members", "remove", "ada@example.com")
    assert (gone.returncode, gone.stderr) == (1, "touchstone: email: ada@example.com is not a member\n")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"oidc_issuer": "http://id.example", "oidc_audience": "a"}, "TOUCHSTONE_OIDC_ISSUER"),
        ({"oidc_issuer": "id.example", "oidc_audience": "a"}, "TOUCHSTONE_OIDC_ISSUER"),
        ({"oidc_issuer": "https://id.example"}, "TOUCHSTONE_OIDC_AUDIENCE"),
        ({"oidc_audience": "a"}, "TOUCHSTONE_OIDC_AUDIENCE"),
        ({"session_lifetime": "0s"}, "TOUCHSTONE_SESSION_LIFETIME"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as error:
        Settings.from_environment(**settings)
    assert [problem.field for problem in error.value.problems] == [field]
