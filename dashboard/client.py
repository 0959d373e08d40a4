"""The HTTP API as typed calls. Everything that can go wrong is one `ApiError`, told in one sentence."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final
from urllib.parse import quote

import httpx

from dashboard.documents import Experiment, ImportRun, Outbox, Quality
from dashboard.reading import (
    Unreadable,
    read_experiment,
    read_import,
    read_outbox,
    read_quality,
)

BY_A_PROXY: Final = frozenset({502, 504})
"""What a proxy answers when it hears nothing from the API in time, which may go on all the same."""
Params = Mapping[str, str | int | float | bool | Sequence[str]]


class ApiError(Exception):
    """The API did not do what was asked; `str(error)` is one sentence for people.

    `status` is the HTTP status, or None when there was no answer at all. `problems` are (field, message) of what is wrong
    with the request, as far as the API says so. `unsure`: it was asked to change something, and may have done so.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int | None = None,
        problems: Sequence[tuple[str, str]] = (),
        unsure: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.unsure = unsure
        self.problems = tuple(problems)

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status >= 500 or self.status == 429

    @property
    def unauthenticated(self) -> bool:
        return self.status == 401


@dataclass(frozen=True, slots=True)
class Who:
    name: str
    scopes: frozenset[str]


class Client:
    """The API, seen with one key, or with none (to ask for one). `transport` lets a test answer without a network.

    May be shared by threads. Keeps no connection open, so that a forgotten browser tab holds nothing.
    Raises ApiError when the key cannot be sent at all.
    """

    def __init__(
        self, api_url: str, key: str | None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ApiError("This is not an API key: a key has no blanks and no special letters.", status=401)
        self.api_url = api_url.rstrip("/")
        self._http = httpx.Client(
            base_url=self.api_url,
            headers={"Accept": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx.Timeout(30, connect=3),
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
            trust_env=False,  # the address comes from the launcher, and so should a proxy
        )

    def close(self) -> None:
        self._http.close()

    def check_key(self) -> None:
        """Raises ApiError unless the key may read."""
        self.get("/v1/experiments", params={"limit": 1})

    def who(self) -> Who:
        """Whose key this is, and everything that it may do."""
        key = self.get("/v1/keys/self")
        scopes = key.get("scopes") if isinstance(key, Mapping) else None
        if not isinstance(scopes, list):
            raise self.unreadable("/v1/keys/self")
        return Who(name=str(key.get("name") or ""), scopes=frozenset(map(str, scopes)))

    def experiment(self, key: str) -> Experiment:
        path = _experiment_path(key)
        try:
            return read_experiment(self.get(path))
        except Unreadable as error:
            raise self.unreadable(path) from error

    def outbox(self, key: str) -> Outbox:
        """What became of the messages of the experiment."""
        return read_outbox(self.get("/v1/delivery/summary", params={"experiment": key}))

    def import_run(self, run_id: int) -> tuple[ImportRun, Quality | None]:
        """One import and the quality of its data."""
        path = f"/v1/imports/{run_id}"
        document = self.get(path)
        try:
            return read_import(document), read_quality(document)
        except Unreadable as error:
            raise self.unreadable(path) from error

    def move(self, key: str, move: str) -> None:
        """`move` is start, pause, resume or stop."""
        self.send("POST", f"{_experiment_path(key)}/{move}")

    def get(self, path: str, *, params: Params | None = None) -> Any:
        """The JSON at `path`. Raises ApiError."""
        return self.ask("GET", path, params=params)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of the answer to a request as `send` takes it. Raises ApiError, also where the answer is none."""
        response = self.send(method, path, **request)
        try:
            return response.json()
        except ValueError as error:
            raise self.unreadable(path) from error

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, IO[bytes], str]] | None = None,
        content: tuple[bytes, str] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        """The answer to a request with a JSON body, a form with files, or bytes of a media type (`content`).

        `timeout` is in seconds, for what may take longer than other requests.

        Raises ApiError unless it is a success.
        """
        body, headers = None, _once(method)
        if content is not None:
            body, headers["Content-Type"] = content
        try:
            response = self._http.request(
                method,
                path,
                params=params,
                json=json,
                data=data,
                files=files,
                content=body,
                headers=headers,
                timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else httpx.Timeout(timeout, connect=3),
            )
        except httpx.TimeoutException as error:
            words = f"The API at {self.api_url} takes too long to answer."
            raise ApiError(words, unsure=_may_have_come(method, error)) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            words = f"The API at {self.api_url} does not answer. Is it running?"
            raise ApiError(words, unsure=_may_have_come(method, error)) from error
        if response.is_success:
            return response
        sentence, problems = _problem(response)
        unsure = method != "GET" and response.status_code in BY_A_PROXY
        raise ApiError(sentence, status=response.status_code, problems=problems, unsure=unsure)

    def unreadable(self, path: str) -> ApiError:
        """The error for an answer that is not what `path` promises."""
        return ApiError(
            f"What answers at {self.api_url}{path} is not the Touchstone API.", status=httpx.codes.BAD_GATEWAY
        )


def _may_have_come(method: str, error: Exception) -> bool:
    """Whether a request that changes something may have reached the API, though nothing came back."""
    never_sent = httpx.ConnectTimeout | httpx.ConnectError | httpx.PoolTimeout | httpx.InvalidURL
    return method != "GET" and not isinstance(error, never_sent)


def _once(method: str) -> dict[str, str]:
    # A proxy between us and the API may send a request again: it is still done once.
    return {"Idempotency-Key": str(uuid.uuid4())} if method in {"POST", "PUT"} else {}


def _experiment_path(key: str) -> str:
    return f"/v1/experiments/{quote(key, safe='')}"


def _problem(response: httpx.Response) -> tuple[str, list[tuple[str, str]]]:
    """The problem's own words (RFC 9457), or the status when it has none; and each wrong field with what is wrong."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, Mapping):
        problem = {}
    detail = problem.get("detail") or problem.get("title")
    errors = problem.get("errors")
    problems = [
        (str(item.get("field")), str(item.get("message")))
        for item in (errors if isinstance(errors, list) else [])
        if isinstance(item, Mapping) and item.get("field")
    ]
    fields = [f"{field}: {message}" for field, message in problems if message not in str(detail)]
    words = "; ".join([*([str(detail)] if detail else []), *fields])
    return words or f"The API answered {response.status_code} {response.reason_phrase}.", problems
