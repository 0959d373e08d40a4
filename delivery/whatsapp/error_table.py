"""Which error code means what, as data.

The same codes arrive in two ways: at once, as the error of a POST, and later, in a `failed` status. One table serves
both, and only the code decides, never the text. Codes and meanings: Meta, "Cloud API error codes" (Graph API v26.0).
"""

from enum import StrEnum

from experiments.errors import Invalid


class ErrorClass(StrEnum):
    """What a sender does about an error, from the mildest to the hardest.

    slow_down         the number is too fast: back off for the whole number, keep the message
    recipient_later   not this person now: a new due time for this message
    retry             a passing fault before anything was sent: try again, a few times
    unknown           it may have been sent: never resend by itself, wait for a status
    never_for_person  this person cannot or must not get it
    bad_request       the message is wrong, and so is every other row like it
    template_fuse     the template is paused or disabled: pause what uses it
    number_fuse       the number, the account or the token is blocked: pause everything
    """

    SLOW_DOWN = "slow_down"
    RECIPIENT_LATER = "recipient_later"
    RETRY = "retry"
    UNKNOWN = "unknown"
    NEVER_FOR_PERSON = "never_for_person"
    BAD_REQUEST = "bad_request"
    TEMPLATE_FUSE = "template_fuse"
    NUMBER_FUSE = "number_fuse"


RATE_LIMIT_HIT = 130429
PAIR_RATE_LIMIT_HIT = 131056
MARKETING_CAP = 131049
"""Meta's own cap on marketing messages per person: not again within 24 hours."""
META_HOLDOUT = 130472
UNDELIVERABLE = 131026
"""The number is not on WhatsApp, or cannot be reached; final when it comes twice."""
OPTED_OUT = 131050
"""The person stopped marketing messages: also withdraws consent."""

CODES: dict[ErrorClass, tuple[int, ...]] = {
    ErrorClass.SLOW_DOWN: (RATE_LIMIT_HIT, 4, 80007, 80008),
    ErrorClass.RECIPIENT_LATER: (PAIR_RATE_LIMIT_HIT, MARKETING_CAP),
    ErrorClass.RETRY: (131000, 131016, 2, 131057, 133004),
    ErrorClass.UNKNOWN: (1,),
    ErrorClass.NEVER_FOR_PERSON: (UNDELIVERABLE, OPTED_OUT, META_HOLDOUT, 131021, 131030, 130497),
    ErrorClass.BAD_REQUEST: (
        *(131047, 131051, 131008, 131009, 100, 33),
        *(132000, 132001, 132005, 132007, 132008, 132012, 132018),
    ),
    ErrorClass.TEMPLATE_FUSE: (132015, 132016, 132068),
    ErrorClass.NUMBER_FUSE: (
        *(131048, 131064, 368, 131031, 131042, 131045, 131005, 131037, 0, 3, 10, 190, 133010),
        *range(200, 300),  # Meta's permission errors
    ),
}

CLASS_OF: dict[int, ErrorClass] = {code: kind for kind, codes in CODES.items() for code in codes}


def classify(code: int | None, *, http_status: int | None = None) -> ErrorClass:
    """The class of an error; for a code of a `failed` status leave `http_status` out.

    A listed code decides alone. Otherwise (an unlisted code, or no JSON error at all, `code` None):
    an answer of 5xx or 408, or none at all, leaves open what happened: unknown. 429 is slow_down. 401 and 403
    without a code are number_fuse: the token or a gateway refuses every row alike. Any other definite answer,
    and an unlisted code of a `failed` status, is bad_request: it fails the message, and the sender's count of equal
    errors stops what repeats.

    >>> classify(130429), classify(250), classify(None, http_status=503), classify(999999, http_status=400)
    (<ErrorClass.SLOW_DOWN: 'slow_down'>, <ErrorClass.NUMBER_FUSE: 'number_fuse'>, <ErrorClass.UNKNOWN: 'unknown'>, \
<ErrorClass.BAD_REQUEST: 'bad_request'>)
    """
    if code is not None and code in CLASS_OF:
        return CLASS_OF[code]
    if http_status is None:
        return ErrorClass.UNKNOWN if code is None else ErrorClass.BAD_REQUEST
    if not 100 <= http_status < 600:
        raise Invalid("is not an HTTP status", field="http_status")
    if http_status >= 500 or http_status == 408:
        return ErrorClass.UNKNOWN
    if http_status == 429:
        return ErrorClass.SLOW_DOWN
    if code is None and http_status in (401, 403):
        return ErrorClass.NUMBER_FUSE
    return ErrorClass.BAD_REQUEST
