"""What evaluations read: the questions of requests that come at the same moment are answered from one state of the database.

So a hundred cost little more than one: keys, experiments, users and exposures are each read once for all of them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session

from api import key_repository
from api.evaluation_memory import Exposed
from api.group_commit import GroupCommitter
from api.security import UNKNOWN_KEY, Principal, authenticate
from api.strict_json import TooDeepError, UnfitError, read_json
from experiments.clock import Clock
from experiments.errors import Invalid, TouchstoneError, Unauthenticated
from experiments.vocabulary import Scope
from targeting import evaluation_repository
from targeting.calls import TrackCall
from targeting.evaluation import Answer, Broken, Evaluator, Question, exposures
from targeting.profile import check_user_id


class ContextError(TouchstoneError):
    """A request that cannot be evaluated; `code` is OpenFeature's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code: Final = code


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One request: its key, and whose it is if it was seen before; the body; an experiment, or None for all of them."""

    known: Principal | None
    key: str
    body: bytes
    experiment: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """Answers, and the exposures among them that are not stored yet."""

    principal: Principal
    answers: Sequence[Answer | Broken]
    unrecorded: Sequence[TrackCall]


class GroupReader(GroupCommitter[Inquiry, Findings]):
    """Answers inquiries together, in a transaction that only reads."""

    def _commit_all(self, items: Sequence[Inquiry]) -> Sequence[Findings | Exception]:
        with self._database.snapshot() as session:
            return self._write(session, items)


def answer_inquiries(
    session: Session, inquiries: Sequence[Inquiry], *, evaluator: Evaluator, exposed: Exposed, clock: Clock
) -> list[Findings | Exception]:
    """The findings of each inquiry, in their order, or what is wrong with it."""
    revoked = key_repository.revoked_keys(session, {each.known.key_id for each in inquiries if each.known})
    read = [_read(session, clock, each, revoked) for each in inquiries]
    questions = [each[1] for each in read if not isinstance(each, Exception)]
    told = iter(evaluator.answer(session, clock, questions))
    found: list[Findings | Exception] = []
    for each in read:
        if isinstance(each, Exception):
            found.append(each)
            continue
        principal, question = each
        answers = next(told)
        if isinstance(answers, Exception):
            found.append(answers)
        else:
            seen = exposures(answers, user_id=question.user_id, at=clock.now())
            found.append(Findings(principal, answers, exposed.new(seen)))
    return _without_stored(session, found, exposed)


def _without_stored(
    session: Session, found: Sequence[Findings | Exception], exposed: Exposed
) -> list[Findings | Exception]:
    new = [call.message_id for each in found if isinstance(each, Findings) for call in each.unrecorded]
    stored = evaluation_repository.stored(session, new)
    exposed.add(stored)
    return [
        Findings(
            each.principal, each.answers, [call for call in each.unrecorded if call.message_id not in stored]
        )
        if isinstance(each, Findings)
        else each
        for each in found
    ]


def _read(
    session: Session, clock: Clock, inquiry: Inquiry, revoked: set[int]
) -> tuple[Principal, Question] | Exception:
    try:
        if inquiry.known is not None and inquiry.known.key_id in revoked:
            raise Unauthenticated(UNKNOWN_KEY)
        principal = inquiry.known or authenticate(session, clock, inquiry.key)
        principal.require(Scope.EVALUATE)
        user_id, attributes = read_context(inquiry.body)
    except TouchstoneError as error:
        return error
    return principal, Question(user_id, attributes, inquiry.experiment)


def read_context(body: bytes) -> tuple[str, dict[str, Any]]:
    """User id and attributes in the body of a request; raises ContextError."""
    try:
        document = read_json(body)
    except TooDeepError as error:
        raise ContextError("PARSE_ERROR", f"the body is {error.msg}") from error
    except UnfitError as error:
        raise ContextError("PARSE_ERROR", f"the body cannot be taken: {error}") from error
    except json.JSONDecodeError as error:
        raise ContextError("PARSE_ERROR", f"the body is not valid JSON: {error.msg}") from error
    context = document.get("context") if isinstance(document, dict) else None
    if not isinstance(context, dict):
        raise ContextError("INVALID_CONTEXT", "the body is an object with a `context`, which is an object")
    user_id = context.get("targetingKey")
    if user_id is None or user_id == "":
        raise ContextError("TARGETING_KEY_MISSING", "the context has no `targetingKey`")
    if not isinstance(user_id, str):
        raise ContextError("INVALID_CONTEXT", "`targetingKey` is text")
    try:
        check_user_id(user_id, field="targetingKey")
    except Invalid as error:
        raise ContextError("INVALID_CONTEXT", str(error)) from error
    return user_id, {name: value for name, value in context.items() if name != "targetingKey"}
