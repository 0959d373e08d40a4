"""What routes ask for: who is calling, a session, the clock, a page of a list."""

import base64
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPBasic, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import AfterValidator
from sqlmodel import Session

from api.security import Principal, authenticate
from api.wiring import Wiring
from experiments.clock import Clock
from experiments.errors import Invalid, Problem, Unauthenticated
from experiments.settings import Settings
from experiments.vocabulary import Scope

MAX_ID: Final = 2**62
Row = TypeVar("Row")


def wiring_of(request: Request) -> Wiring:
    wiring: Wiring = request.app.state.wiring
    return wiring


def key_in(authorization: str | None) -> str:
    """The key in an Authorization header: Bearer, or Basic with the key as user name (as Segment's clients send it)."""
    scheme, parameter = get_authorization_scheme_param(authorization)
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(parameter, validate=True).decode().partition(":")[0]
        except ValueError as error:
            raise Unauthenticated("the Authorization header is not valid Basic authentication") from error
    if scheme.lower() != "bearer":
        raise Unauthenticated("send an API key: Authorization: Bearer KEY")
    return parameter


def principal_of(request: Request) -> Principal:
    """Whose key came with this request; raises Unauthenticated."""
    key = key_in(request.headers.get("authorization"))
    wiring = wiring_of(request)
    with wiring.database.snapshot() as session:
        return authenticate(session, wiring.clock, key)


def _require(scope: Scope) -> Callable[[Request], Principal]:
    def required(request: Request) -> Principal:
        # A browser that was once told a key as a user name sends it along with whatever a foreign page makes it send, such as the
        # form that stops an experiment. What manages is asked for by a header that no page can have it send.
        if get_authorization_scheme_param(request.headers.get("authorization"))[0].lower() == "basic":
            raise Unauthenticated("send the key as Authorization: Bearer KEY; Basic is for tracking")
        principal = principal_of(request)
        principal.require(scope)
        return principal

    return required


_bearer = Depends(HTTPBearer(auto_error=False, description="An API key"))
_basic = Depends(
    HTTPBasic(auto_error=False, description="A write key (scope ingest) as user name, no password")
)

Anybody = Annotated[Principal, Depends(principal_of)]
Reader = Annotated[Principal, Depends(_require(Scope.READ))]
Writer = Annotated[Principal, Depends(_require(Scope.WRITE))]
Admin = Annotated[Principal, Depends(_require(Scope.ADMIN))]
BEARER: Final = (_bearer,)
TRACKING: Final = (_basic,)


async def _known_parameters(request: Request) -> None:
    """Refuses a query parameter that the route does not know: misspelled, it would be left out without a word."""
    if not request.query_params:
        return
    known = sorted(_query_names(request.scope["route"].dependant))
    words = f"is not known here; known: {', '.join(known)}" if known else "is not known here; none is"
    problems = [Problem(name[:100], words) for name in request.query_params if name not in known]
    if problems:
        raise Invalid.of(problems)


def _query_names(dependant: Dependant) -> set[str]:
    """Names of the query parameters of a route and of all that it depends on."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_query_names, dependant.dependencies))


KNOWN_PARAMETERS: Final = Depends(_known_parameters)
"""Of a route that asks for no key."""
MANAGEMENT: Final = (_bearer, KNOWN_PARAMETERS)
"""What every route of management depends on. The doors of other people's protocols stand apart: these may send more."""


def _write_session(request: Request) -> Iterator[Session]:
    with wiring_of(request).database.transaction() as session:
        request.state.write_session = session
        yield session


def _read_session(request: Request) -> Iterator[Session]:
    with wiring_of(request).database.snapshot() as session:
        yield session


# scope="function": the transaction is committed before the answer leaves, so that an answer is a promise kept.
WriteSession = Annotated[Session, Depends(_write_session, scope="function")]
ReadSession = Annotated[Session, Depends(_read_session, scope="function")]
WiringOf = Annotated[Wiring, Depends(wiring_of)]


def _clock(wiring: WiringOf) -> Clock:
    return wiring.clock


def _settings(wiring: WiringOf) -> Settings:
    return wiring.settings


ClockOf = Annotated[Clock, Depends(_clock)]
SettingsOf = Annotated[Settings, Depends(_settings)]
Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page")]
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def _storable(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("holds a NUL character or half of a surrogate pair")
    return text


CleanText = Annotated[str, AfterValidator(_storable)]
"""Text of a path or a query that a database can look for."""


def _cursor(
    cursor: Annotated[
        str | None, Query(max_length=60, description="`next_cursor` of the page before")
    ] = None,
) -> int:
    return 0 if cursor is None else decode_cursor(cursor)


Cursor = Annotated[int, Depends(_cursor)]


def encode_cursor(position: int) -> str:
    """A position in a list as text that promises nothing about what it holds.

    >>> decode_cursor(encode_cursor(42))
    42
    """
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def decode_cursor(text: str) -> int:
    """The inverse of `encode_cursor`; raises Invalid."""
    try:
        position = int(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise Invalid(
            "is not a cursor of this list; take `next_cursor` of the page before", field="cursor"
        ) from error
    if not 0 <= position < MAX_ID:
        raise Invalid("is not a cursor of this list; take `next_cursor` of the page before", field="cursor")
    return position


def next_cursor(rows: Sequence[Row], limit: int, position: Callable[[Row], int | None]) -> str | None:
    """The cursor behind a full page; None when the list has ended."""
    last = position(rows[-1]) if len(rows) == limit else None
    return None if last is None else encode_cursor(last)
