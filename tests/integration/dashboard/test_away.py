"""While the API is away every page shows what it heard last, marked as such, and comes back by itself."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.client import ApiError, Client
from tests.integration.dashboard.browsing import open_page, press, seen
from tests.integration.dashboard.conftest import Live
from tests.integration.looks import campaign as looked_at
from tests.integration.people import campaign

Open = Callable[[str], AppTest]
SOMEBODY = "somebody"
PAGES: dict[str, tuple[str, dict[str, str]]] = {
    "home": ("home", {}),
    "experiments": ("experiments", {}),
    "experiment": ("result", {"experiment": "spring"}),
    "traffic": ("result", {"experiment": "spring", "show": "traffic"}),
    "messages": ("result", {"experiment": "spring", "show": "messages"}),
    "history": ("result", {"experiment": "spring", "show": "history"}),
    "users": ("users", {}),
    "user": ("users", {"user": SOMEBODY}),
    "standings": ("users", {"user": SOMEBODY, "show": "experiments"}),
    "consent": ("users", {"user": SOMEBODY, "show": "consent"}),
    "segments": ("segments", {}),
    "rules": ("rules", {}),
    "imports": ("data_quality", {}),
    "delivery": ("delivery", {}),
    "members": ("access", {}),
    "keys": ("access", {"show": "keys"}),
    "log": ("access", {"show": "log"}),
}


def away(*_args: Any, **_request: Any) -> Any:
    raise ApiError("The API does not answer.", status=503)


@pytest.fixture
def world(live: Live) -> Live:
    looked_at(live.wiring.database, live.clock, users=90)
    return live


def test_every_page_shows_what_it_heard_last(
    world: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_dashboard("admin")
    real = Client.send

    somebody = world.call("GET", "/v1/users")["items"][0]["user_id"]
    for name, (page, query) in PAGES.items():
        for key in list(app.query_params):
            app.query_params.pop(key)
        heard = seen(
            open_page(
                app, page, **{key: somebody if value == SOMEBODY else value for key, value in query.items()}
            )
        )
        monkeypatch.setattr(Client, "send", away)
        stale = seen(app.run())
        assert "last heard" in stale or "last numbers that were heard" in stale, name
        assert "The API does not answer." in stale, name
        monkeypatch.setattr(Client, "send", real)
        assert seen(app.run()) == heard, name


FORMS: dict[str, tuple[str, dict[str, str]]] = {
    **{
        step: ("new_campaign", {"draft": "half", "step": step})
        for step in ("audience", "variants", "metrics", "plan", "review")
    },
    "a new rule": ("rules", {"new": "1"}),
    "a rule": ("rules", {"rule": "one", "edit": "1"}),
    "a new segment": ("segments", {"new": "1"}),
    "a segment": ("segments", {"segment": "one", "edit": "1"}),
    "numbers": ("planner", {"guard_base": "5", "guard_margin": "1"}),
    "looks": ("planner", {"method": "exact", "guard_base": "5", "guard_margin": "1"}),
    "campaign": ("planner", {"way": "campaign", "campaign": "draft:half"}),
    "simulation": ("simulation", {"campaign": "draft:half"}),
    "import": ("import_quality", {}),
}


def test_no_form_falls_over_while_the_api_is_away(
    world: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = {"number": {"$gt": 0}, "$inSegment": "one"}
    world.call("PUT", "/v1/segments/one", json={"name": "One", "condition": {"number": {"$gt": 0}}})
    rule = {"name": "One", "trigger": {"type": "event", "event": "A"}, "condition": condition, "actions": [{"type": "add_tag", "tag": "a"}]}  # fmt: skip
    world.call("PUT", "/v1/rules/one", json=rule)
    document = {**campaign("half"), "audience": {"condition": condition}, "name": "Half done"}
    world.call("PUT", "/v1/drafts/half", json={"document": document})
    real = Client.send
    app = open_dashboard("admin")
    for page, query in FORMS.values():
        for key in list(app.query_params):
            app.query_params.pop(key)
        monkeypatch.setattr(Client, "send", away)
        seen(open_page(app, page, **query))  # fails where the page ends in a traceback
        monkeypatch.setattr(Client, "send", real)


def test_an_action_without_an_answer_is_not_called_undone(
    world: Live, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page(open_dashboard("write"), "result", experiment="spring")
    real = Client.move

    def slowly(client: Client, key: str, move: str) -> None:
        real(client, key, move)
        raise ApiError("The API takes too long to answer.", unsure=True)

    monkeypatch.setattr(Client, "move", slowly)
    page = seen(press(press(app, "Pause"), "Yes, pause it"))
    assert "Whether it was done is not known: The API takes too long to answer." in page
    assert "It was not done" not in page
    assert "Resume" in [button.label for button in app.button]
