"""What WhatsApp's error codes mean in plain words, and what a person can do about them. As data.

Codes and meanings: Meta, "Cloud API error codes" (Graph API v26.0). What the software does by itself: `retry.py`.
"""

from dataclasses import dataclass
from typing import Final

from delivery.whatsapp.error_table import CLASS_OF, ErrorClass, classify

MEANINGS: Final[dict[int, str]] = {
    0: "the token was not accepted",
    1: "WhatsApp had an error of its own and does not say whether it sent",
    2: "WhatsApp was down for a moment",
    3: "the token lacks a permission, or the number a capability",
    4: "the app makes more calls than it may",
    10: "the token lacks the permission to send",
    33: "the number does not exist any more",
    100: "a parameter is not valid",
    190: "the token has run out",
    368: "the account is blocked for a while because a rule of WhatsApp's was broken",
    80007: "the account sends faster than it may",
    80008: "the account makes more calls than it may",
    130429: "the number sends faster than it may",
    130472: "WhatsApp keeps this person out of marketing, as a trial of its own",
    130497: "the account may not write to people of this country",
    131000: "something went wrong at WhatsApp",
    131005: "the token lacks a permission",
    131008: "a parameter that is needed is missing",
    131009: "a parameter has a value that is not allowed",
    131016: "a service of WhatsApp's is down for a moment",
    131021: "the message was addressed to our own number",
    131026: "the phone cannot be reached, or has no WhatsApp",
    131030: "the phone is not on the list of the test number",
    131031: "the account is locked",
    131037: "the number's display name has not been approved",
    131042: "something is wrong with the way of payment",
    131045: "the number is not registered properly",
    131047: "the person last wrote more than 24 hours ago, so only a template may go out",
    131048: "people reported or blocked too many messages of this number",
    131049: "WhatsApp lets this person get no more marketing today",
    131050: "the person stopped marketing messages in WhatsApp",
    131051: "this kind of message is not supported",
    131056: "too many messages to the same person in a short time",
    131057: "the account is being maintained",
    131064: "the number or the account may not send for now",
    132000: "the template takes another number of parameters",
    132001: "there is no such template in this language",
    132005: "the text is too long with the parameters filled in",
    132007: "the text breaks a rule on formatting",
    132008: "a parameter of the template is missing",
    132012: "a parameter has not the form that the template wants",
    132015: "the template is paused because of its quality",
    132016: "the template was disabled because of its quality",
    132018: "something is wrong with the template's parameters",
    132068: "the flow behind the template is blocked",
    133004: "WhatsApp's server was not to be had for a moment",
    133010: "the number is not registered",
}

REMEDIES: Final[dict[ErrorClass, str]] = {
    ErrorClass.SLOW_DOWN: "Nothing to do: the number rests and goes on by itself. If it comes often, lower TOUCHSTONE_MESSAGES_PER_SECOND.",
    ErrorClass.RECIPIENT_LATER: "Nothing to do: the message has a new time. If it comes often, write to these people less.",
    ErrorClass.RETRY: "Nothing to do: it is tried again a few times. If it goes on, look at WhatsApp's status page.",
    ErrorClass.UNKNOWN: "It may have arrived, so it is never sent again by itself; a late status settles it.",
    ErrorClass.NEVER_FOR_PERSON: "Nothing to do: this person is left out, and stays in the analysis. Check the phone number if it should work.",
    ErrorClass.BAD_REQUEST: "Correct the template or the parameters of the variant, then close its breaker; what has failed stays failed.",
    ErrorClass.TEMPLATE_FUSE: "Mend the template in WhatsApp Manager; the breaker closes when WhatsApp approves it again, or by hand.",
    ErrorClass.NUMBER_FUSE: "Nothing goes out until this is put right in WhatsApp Manager (token, payment, registration, quality); then close the breaker.",
}

REMEDIES_OF_CODES: Final[dict[int, str]] = {
    131026: "Nothing to do: it is tried once more an hour later; when that fails too this person is left out, and stays in the analysis. Check the phone number if it should work.",
}
"""Where a code is treated in another way than the rest of its class (`retry.py`)."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An error in words. `code` is null when WhatsApp gave none, or the trouble was not of its making."""

    code: int | None
    error_class: str
    meaning: str
    remedy: str


def explain(code: int | None, *, error_class: str | None = None) -> Explained:
    """What an error means and what to do. `error_class`: as it was decided at the time; else it follows from the code.

    >>> explain(131042).error_class, explain(131042).meaning
    ('number_fuse', 'something is wrong with the way of payment')
    """
    known = {str(kind): kind for kind in ErrorClass}
    kind = known.get(error_class or "") or (
        classify(code) if code is None or code not in CLASS_OF else CLASS_OF[code]
    )
    if code is not None and code in MEANINGS:
        meaning = MEANINGS[code]
    elif code is not None and 200 <= code < 300:
        meaning = "the token lacks a permission"
    elif code is not None:
        meaning = "WhatsApp gave an error that is not on its list"
    else:
        meaning = "WhatsApp gave no code"
    remedy = REMEDIES[kind]
    if code is not None and kind is CLASS_OF.get(code):
        remedy = REMEDIES_OF_CODES.get(code, remedy)
    return Explained(code, str(kind), meaning, remedy)
