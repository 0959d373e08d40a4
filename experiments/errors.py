"""Every error that Touchstone raises on purpose, sorted by what the caller can do about it.

    TouchstoneError
    |- Invalid            the input is wrong: change it            (HTTP 422)
    |  |- TooLarge        .. by its size                           (HTTP 413)
    |- NotFound           there is no such thing                   (HTTP 404)
    |- Conflict           right, but not in this state             (HTTP 409)
    |- Unauthenticated    nobody we know: send a key               (HTTP 401)
    |- Refused            known, but not allowed                   (HTTP 403)
    |- Unavailable        not now: try again later                 (HTTP 503)
    |- InsufficientData   cannot tell: an answer of its own, never p = 1, never NaN

`api/errors.py` is the one place that turns them into HTTP; the command line prints them as one line.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one field.

    `field` is the path of the field as the sender wrote it, such as `variants[1].weight`; empty for the whole input.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class TouchstoneError(Exception):
    """The root of the tree; `str(error)` is one line that says what to do."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.problems: tuple[Problem, ...] = (Problem(field, message),) if field is not None else ()

    def __str__(self) -> str:
        if not self.problems:
            return self.message
        return "; ".join(str(problem) for problem in self.problems)


class Invalid(TouchstoneError):
    """The input is wrong. Carries every problem found, not just the first."""

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> "Invalid":
        error = cls("; ".join(str(problem) for problem in problems))
        error.problems = tuple(problems)
        return error


class TooLarge(Invalid):
    """The input exceeds a bound in size."""


class NotFound(TouchstoneError):
    """There is no such thing."""


class Conflict(TouchstoneError):
    """The request is well-formed, but the thing is in a state that forbids it."""


class Unauthenticated(TouchstoneError):
    """No key, or a key that is not (or no longer) known."""


class Refused(TouchstoneError):
    """The caller is known but may not do this; also used for unsafe settings."""


class Unavailable(TouchstoneError):
    """Something that we need does not answer; the same request may succeed later."""


class InsufficientData(TouchstoneError):
    """The data cannot answer the question; `message` is the reason, shown among a report's warnings."""
