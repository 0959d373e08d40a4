from collections.abc import Callable

import httpx
import pytest

from dashboard.calls import overview as calls
from dashboard.client import ApiError, Client
from dashboard.documents import Outbox
from tests.unit.dashboard import samples

Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, key: str = "ts_key") -> Client:
    return Client("http://api.test/", key, transport=httpx.MockTransport(answer))


def problem(status: int, detail: str, *errors: dict[str, str]) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "errors": list(errors)}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


def test_the_key_travels_as_bearer() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"items": [], "next_cursor": None})

    client(answer).check_key()
    assert seen[0].headers["authorization"] == "Bearer ts_key"
    assert str(seen[0].url) == "http://api.test/v1/experiments?limit=1"


def test_the_list_asks_for_a_page_with_the_filters_that_are_set() -> None:
    seen: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        return httpx.Response(
            200, json={"items": [samples.card("a")], "next_cursor": "n", "counts": {"draft": 1}}
        )

    found = calls.cards(client(answer), status="draft", cursor="m")
    assert ([card.key for card in found.items], found.next_cursor, found.counts) == (["a"], "n", {"draft": 1})
    assert seen == [{"limit": "20", "status": "draft", "cursor": "m"}]


def test_an_error_carries_the_problems_own_words() -> None:
    with pytest.raises(ApiError, match=r"^this key is not known$") as caught:
        client(lambda _: problem(401, "this key is not known")).check_key()
    assert caught.value.unauthenticated
    assert not caught.value.temporary


def test_an_error_names_the_fields() -> None:
    fields = {"field": "status", "message": "cannot start"}
    with pytest.raises(ApiError, match=r"^not now; status: cannot start$"):
        client(lambda _: problem(409, "not now", fields)).move("a", "start")
    with pytest.raises(ApiError, match=r"^status: cannot start$") as caught:
        client(lambda _: problem(409, "status: cannot start", fields)).move("a", "start")
    assert caught.value.problems == (("status", "cannot start"),)


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ReadError("reset")])
def test_no_answer_is_one_sentence_that_names_the_address(failure: httpx.TransportError) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(
        ApiError, match=r"^The API at http://api\.test does not answer\. Is it running\?$"
    ) as caught:
        client(answer).check_key()
    assert caught.value.temporary


def test_a_slow_answer_is_told_apart() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    with pytest.raises(ApiError, match="takes too long"):
        client(answer).check_key()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"items": 3}', b'{"alerts": {}}'])
def test_another_server_at_the_address_is_recognised(body: bytes) -> None:
    for ask in (calls.cards, calls.overview):
        with pytest.raises(ApiError, match="is not the Touchstone API"):
            ask(client(lambda _: httpx.Response(200, content=body)))


def test_an_error_without_a_problem_document_is_told_by_its_status() -> None:
    with pytest.raises(ApiError, match=r"^The API answered 502 Bad Gateway\.$") as caught:
        client(lambda _: httpx.Response(502, content=b"<html>")).check_key()
    assert caught.value.temporary


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "a\nb"])
def test_what_cannot_be_a_key_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(ApiError, match="not an API key") as caught:
        client(lambda _: httpx.Response(200), key=key)
    assert caught.value.unauthenticated


@pytest.mark.parametrize(
    ("scopes", "allowed"), [(["read"], False), (["read", "write"], True), (["evaluate"], False), ([], False)]
)
def test_whether_a_key_may_write_is_told_by_its_scopes(scopes: list[str], allowed: bool) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"prefix": "a", "name": "b", "scopes": scopes})

    assert ("write" in client(answer).who().scopes) is allowed
    assert seen == ["GET /v1/keys/self"]


@pytest.mark.parametrize("body", [[], {}, {"scopes": "write"}, {"scopes": None}])
def test_a_key_that_tells_no_scopes_is_not_taken_for_one_that_may_write(body: object) -> None:
    with pytest.raises(ApiError, match="is not the Touchstone API"):
        client(lambda _: httpx.Response(200, json=body)).who()


def test_a_failing_api_is_not_taken_for_a_right_to_write() -> None:
    with pytest.raises(ApiError):
        client(lambda _: problem(503, "busy")).who()


def test_a_key_of_an_experiment_cannot_leave_its_place_in_the_address() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == b"/v1/experiments/..%2F..%2Fv1%2Fkeys%3Fa"
        return problem(404, "there is no such experiment")

    with pytest.raises(ApiError, match="no such experiment"):
        client(answer).experiment("../../v1/keys?a")


def test_the_outbox_is_that_of_one_experiment() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["experiment"] == "a"
        return httpx.Response(
            200, json={"states": {"planned": 4}, "reasons": {}, "experiments": [], "holds": True}
        )

    assert client(answer).outbox("a") == Outbox({"planned": 4}, holds=True)


@pytest.mark.parametrize(
    ("method", "failure", "unsure"),
    [
        ("POST", httpx.ReadTimeout("slow"), True),
        ("POST", httpx.RemoteProtocolError("cut"), True),
        ("DELETE", httpx.ReadError("cut"), True),
        ("POST", httpx.ConnectError("nobody"), False),
        ("POST", httpx.ConnectTimeout("nobody"), False),
        ("GET", httpx.ReadTimeout("slow"), False),
    ],
)
def test_what_may_have_been_done_is_not_called_undone(
    method: str, failure: httpx.TransportError, unsure: bool
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ApiError) as caught:
        client(answer).send(method, "/v1/x")
    assert caught.value.unsure is unsure


@pytest.mark.parametrize(("status", "unsure"), [(504, True), (502, True), (503, False), (409, False)])
def test_a_proxy_that_waited_in_vain_does_not_know_either(status: int, unsure: bool) -> None:
    with pytest.raises(ApiError) as caught:
        client(lambda _: httpx.Response(status)).send("POST", "/v1/x")
    assert caught.value.unsure is unsure
