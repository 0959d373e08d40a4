"""Whoever may only read sees no phone number: every GET of the OpenAPI document, and every POST that the scope read allows.

People with known numbers are imported, merged, written to and heard of in every way there is; then each answer is searched for
the digits, also as they stand in WhatsApp's ids of messages (in Base64). A route that is new is walked without being named here.
"""

import base64
import json
import re
from datetime import timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlmodel import select

from api import jobs, routes, security
from api.app import create_app
from api.dependencies import Reader
from api.wiring import Wiring
from delivery.content import links
from delivery.models import Message
from delivery.receipts import inbox
from delivery.whatsapp.webhooks import sign
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from experiments.vocabulary import MessageState, Scope
from tests.contract.test_openapi import APP_SECRET, CAMPAIGN, METRIC
from tests.contract.test_openapi import wiring as wired
from tests.integration.registry import register, template
from tests.integration.test_sign_in import bearer
from tests.integration.webhooks import change_of, status, statuses, text_from

AREA: Final = "1202555"
"""Every number of this test begins so (the range that is kept for fiction), and nothing else does."""
CSV: Final = "\n".join(
    [
        "user_id,phone,first_name,country,consent_marketing,office,cell",
        *(f"u{i},+{AREA}{100 + i:04d},N{i},NL,yes,+{AREA}0188,{AREA}{200 + i:04d}" for i in range(8)),
        f"bad,+{AREA}010199999999,Bad,NL,yes,,",
        f",+{AREA}0177,Nobody,NL,yes,,",
        f"twice,+{AREA}0101,Twice,NL,yes,,",
    ]
)
RULE: Final = {
    "trigger": {"type": "event", "event": "Message Received"},
    "actions": [{"type": "add_tag", "tag": "wrote"}],
}
POSTS: Final[dict[str, Any]] = {
    "/v1/conditions": {"condition": {"country": "NL"}},
    "/v1/segments/preview": {"condition": {"country": "NL"}},
    "/v1/rules/dry-run": RULE,
    "/v1/rules/{key}/dry-run": None,
    "/v1/templates/preview": {
        "message": {
            "template": "coupon",
            "language": "en_US",
            # With the plus taken off, it would be a number of no kind.
            "parameters": ["{{ user.mobile | default('you') | truncate(6) }}, {{ user.cell }}"],
        },
        "user_ids": ["u1", "u2"],
    },
    "/v1/plan": {"campaign": CAMPAIGN},
    "/v1/plan/size": {"baseline": 0.1, "mde": 0.1},
    "/v1/simulate": {"campaign": CAMPAIGN, "world": {"rates": {"silence": 0.1, "coupon": 0.2}}, "runs": 60},
}
"""What the scope read may send, by path."""
FOR_ADMINS: Final = ("/v1/users/{user_id}/export", "/v1/keys", "/v1/members")


def wamid(phone: str) -> str:
    return "wamid." + base64.b64encode(b"\x1c\x0b" + phone.encode() + b"\x15\x02\x00").decode()


def traces() -> list[str]:
    """How a number may be written: its digits, and their Base64 at each of the three offsets."""
    found = [AREA]
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + AREA.encode()).decode()
        found.append(text[4 if offset else 0 : 8])  # what the bytes beside it do not change
    return found


@pytest.fixture
def wiring(database: Database, clock: SteppedClock) -> Wiring:
    return wired(database, clock)


@pytest.fixture
def app(wiring: Wiring) -> FastAPI:
    return create_app(wiring)


@pytest.fixture
def keys(wiring: Wiring) -> dict[str, str]:
    with wiring.database.transaction() as session:
        return {
            str(scope): security.create_key(session, wiring.clock, actor="t", name=scope, scopes=[scope])[1]
            for scope in (Scope.READ, Scope.ADMIN)
        }


@pytest.fixture
def places(wiring: Wiring, app: FastAPI, keys: dict[str, str]) -> dict[str, list[str]]:
    """A world full of numbers; what each parameter of a path may name, by what stands before it."""
    clock = wiring.clock
    with wiring.database.transaction() as session:
        body = {"type": "BODY", "text": "Hi {{1}}"}
        register(session, clock, template("coupon", "en_US", body))
    with TestClient(app, headers=bearer(keys["admin"])) as http:

        def sent(method: str, path: str, **content: Any) -> Any:
            answer = http.request(method, path, **content)
            assert answer.is_success, answer.text
            return answer.json() if answer.content else None

        sent("POST", "/v1/imports?format=csv&source=crm", content=CSV)
        second = {"second": f"+{AREA}0189", "fax": f"{AREA}0187"}
        sent("POST", "/v1/users", json={"user_id": "u0", "phone": f"+{AREA}0190", "attributes": second})
        evidence = {
            "granted": True,
            "source": f"telephone +{AREA}0101",
            "evidence": f"called from +{AREA}0101",
        }
        sent("POST", "/v1/users/u1/consent", json={"category": "marketing", **evidence})
        traits = {
            "country": "NL",
            "mobile": f"+{AREA}0192",
            "also": [{"at": f"home +{AREA}0193"}],
        }
        sent("POST", "/v1/identify", json={"userId": "u2", "traits": {"phone": f"+{AREA}0191", **traits}})
        did = {"properties": {"to": f"+{AREA}0194", "n": 1}, "messageId": wamid(f"{AREA}0194")}
        sent("POST", "/v1/track", json={"userId": "u3", "event": "Order Completed", **did})
        sent("POST", "/v1/alias", json={"userId": "u2", "previousId": "u9"})
        sent("PUT", "/v1/metrics/bought", json=METRIC)
        sent("PUT", "/v1/segments/dutch", json={"name": "Dutch", "condition": {"country": "NL"}})
        sent("PUT", "/v1/segments/staff", json={"name": "Staff"})
        members = "\n".join(["u1", f"+{AREA}0101"])
        http.post("/v1/segments/staff/members", content=members, headers={"content-type": "text/plain"})
        sent("PUT", "/v1/rules/wrote", json=RULE)
        sent("POST", "/v1/rules/wrote/enable")
        sent("PUT", "/v1/pulls/crm", json={"source": "crm", "query": "SELECT 1 AS user_id"})
        sent("PUT", "/v1/drafts/spring", json={"document": CAMPAIGN})
        sent("POST", "/v1/experiments", json=CAMPAIGN | {"key": "running"})
        sent("POST", "/v1/experiments/running/start")
        jobs.plan(wiring)
        with wiring.database.transaction() as session:
            rows = session.exec(select(Message)).all()
            assert rows
            for row in rows:
                row.state, row.wamid = MessageState.ACCEPTED, wamid(f"{AREA}{row.id:04d}")
                row.accepted_at = clock.now()
            ids = [row.wamid for row in rows]
        failed = status("failed", clock.now(), wamid=ids[0], code=131026)
        failed["errors"][0] |= {"title": f"+{AREA}0101 is not on WhatsApp", "message": f"{AREA}0101"}
        failed["recipient_id"] = f"{AREA}0101"
        unmatched = status("delivered", clock.now(), wamid=wamid(f"{AREA}0199"))
        changed = {"messages": [_system(f"{AREA}0150", f"{AREA}0151", clock.now())]}
        said = text_from(f"+{AREA}0150", f"call me: +{AREA}0150", clock.now())
        said["entry"][0]["changes"][0]["value"]["messages"][0]["id"] = wamid(f"{AREA}0150")
        for body_ in (
            statuses(failed, unmatched),
            said,
            change_of("messages", changed),
            change_of("something_new", {"phone": f"+{AREA}0152"}),
        ):
            raw = json.dumps(body_).encode()
            signature = {"X-Hub-Signature-256": sign(APP_SECRET, raw)}
            assert http.post("/webhooks/whatsapp", content=raw, headers=signature).is_success
        http.post(
            "/webhooks/whatsapp",
            content=(odd := f"no json +{AREA}0153".encode()),
            headers={"X-Hub-Signature-256": sign(APP_SECRET, odd)},
        )
        inbox.project_tick(wiring.database, clock, settings=wiring.settings)
        jobs.evaluate_rules(wiring)
        jobs.refresh_segments(wiring)
        jobs.discover_attributes(wiring)
        report = sent("GET", "/v1/experiments/running/report")["provenance"]["id"]
        people = [user["user_id"] for user in sent("GET", "/v1/users")["items"]]
        webhooks = [str(row["id"]) for row in sent("GET", "/v1/delivery/webhooks")["items"]]
        assert any(each.startswith("whatsapp:") for each in people)
        assert AREA in json.dumps(sent("GET", "/v1/users")), "the world holds no number"
    with wiring.database.transaction() as session:
        (first, *_rest) = session.exec(select(Message.id)).all()
        token = links.create(session, targets={first: "https://example.com/"})[first]
    return {
        "/v1/experiments": ["running"],
        "report_id": [str(report)],
        "/v1/users": people,
        "/v1/imports": ["1"],
        "/v1/pulls": ["crm"],
        "/v1/rules": ["wrote"],
        "/v1/segments": ["dutch", "staff"],
        "/v1/drafts": ["spring"],
        "/v1/attributes": ["country", "first_name", "office"],
        "/v1/templates": ["coupon"],
        "/v1/metrics": ["bought"],
        "/v1/delivery/webhooks": webhooks,
        "/r": [token],
    }


def _system(old: str, new: str, at: Any) -> dict[str, Any]:
    """What WhatsApp sends when somebody has a new number."""
    return {
        "from": old,
        "id": wamid(old),
        "timestamp": str(to_micros(at) // 1_000_000),
        "type": "system",
        "system": {"type": "user_changed_number", "body": f"{old} is now {new}", "wa_id": new},
    }


QUERIES: Final[dict[str, dict[str, Any]]] = {
    "/v1/segments/overlap": {"a": "dutch", "b": "staff"},
    "/v1/segments/overlap/combinations": {"key": ["dutch", "staff"]},
    "/v1/experiments/{key}/report/segments": {"by": "country"},
    "/webhooks/whatsapp": {"hub.mode": "subscribe", "hub.verify_token": "verify-token", "hub.challenge": "1"},
}


def addresses(path: str, places: dict[str, list[str]]) -> list[str]:
    """The path with each of what its parameters may name; none when nothing is known for one of them."""
    names = re.findall(r"{(\w+)}", path)
    if not names:
        return [path]
    firsts = places.get(path.split("/{", maxsplit=1)[0], [])
    found = [path.replace(f"{{{names[0]}}}", first) for first in firsts]
    for name in names[1:]:
        found = [each.replace(f"{{{name}}}", value) for each in found for value in places.get(name, [])]
    return found


NOTHING_TO_NAME: Final = {
    "/api/features/{client_key}",  # a key of the scope evaluate stands in the address
    "/v1/members/{email}",  # for admins only
}


def test_no_answer_to_a_reader_holds_a_phone_number(
    app: FastAPI, keys: dict[str, str], places: dict[str, list[str]], subtests: pytest.Subtests
) -> None:
    paths = app.openapi()["paths"]
    told: dict[str, int] = {}
    with TestClient(app, headers=bearer(keys["read"]), follow_redirects=False) as http:
        for path, operations in paths.items():
            asked = [("GET", None)] if "get" in operations else []
            asked += [("POST", POSTS[path])] if path in POSTS else []
            for (method, body), address in ((one, each) for one in asked for each in addresses(path, places)):
                answer = http.request(method, address, json=body, params=QUERIES.get(path))
                told[path] = max(told.get(path, 0), answer.status_code)
                with subtests.test(f"{method} {address}"):
                    assert [trace for trace in traces() if trace in answer.text] == [], answer.text
    with subtests.test("everything was told"):
        unread = {path for path, item in paths.items() if "get" in item and path not in told}
        assert unread == NOTHING_TO_NAME
        odd = {path: code for path, code in told.items() if code not in (200, 307)}
        assert odd == dict.fromkeys(FOR_ADMINS, 403)


def test_what_holds_phone_numbers_slices_no_report_for_readers(
    app: FastAPI, keys: dict[str, str], places: dict[str, list[str]], clock: SteppedClock
) -> None:
    clock.advance(timedelta(days=30))  # everybody is mature

    def sliced(scope: str, form: str, by: str) -> int:
        with TestClient(app, headers=bearer(keys[scope])) as http:
            answer = http.get(f"/v1/experiments/running/report{form}", params={"by": by})
        assert (AREA in answer.text) == (scope == "admin"), answer.text
        return answer.status_code

    for form in ("/segments", ".csv", ".html"):
        assert [sliced("read", form, by) for by in ("country", "office", "cell")] == [200, 403, 403]
        assert [sliced("admin", form, by) for by in ("office", "cell")] == [200, 200]


def test_every_post_that_readers_may_send_is_tried() -> None:
    reader = Reader.__metadata__[0].dependency  # type: ignore[attr-defined]

    def needs(dependant: Dependant) -> set[Any]:
        return {dependant.call}.union(*map(needs, dependant.dependencies))

    modules = [import_module(f"api.routes.{each.name}") for each in iter_modules(routes.__path__)]
    routers = [each for module in modules for each in vars(module).values() if isinstance(each, APIRouter)]
    found = {
        route.path
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and "POST" in route.methods and reader in needs(route.dependant)
    }
    assert found == set(POSTS)
