"""The reasons that are kept with messages, and those why somebody does not take part, in plain words. As data.

Each completes a sentence: "left out, because ..", "put off, because ..", "it will not go out, because ..".
"""

from typing import Final

from delivery.outbox.retry import NEVER_REASONS
from delivery.whatsapp.error_table import ErrorClass

LEFT_OUT: Final[dict[str, str]] = {
    "audience": "they are not in the audience",
    "phone": "they have no phone number",
    "consent": "they have not agreed to messages of this category, or no longer do",
    "prerequisite": "they do not have the variant of another experiment that is asked for",
    "layer": "of the experiments of this layer they are in another one, or have their place in another one",
    "cap": "they have had as many messages as the caps allow",
    "no_unit": "they lack the attribute that the draw is made with",
    "global_holdout": "they belong to the share of people who get no marketing at all",
    "holdout": "they belong to the share that this experiment holds out",
    "coverage": "they belong to the share that this experiment does not cover (yet)",
    "wave": "the audience goes out in waves, and theirs comes later",
}

PUT_OFF: Final[dict[str, str]] = {
    "in_flight": "another message to them is on its way and its answer is awaited",
    "interval": "the last message to them is not long enough ago, or an earlier step still waits",
    "frequency": "this variant has sent them as many messages as its frequency allows for now",
    "cap": "they have had as many messages as the caps allow",
    "quiet_hours": "it is outside of the hours in which they may be written to",
    "tier": "the number has written to as many people in 24 hours as WhatsApp lets it",
    "priority": "a more important message to them goes first",
    "slow_down": "the number was sending too fast and rests",
    "number_blocked": "WhatsApp has blocked the number or the account",
    "template_paused": "WhatsApp has paused the template",
    "meta_cap": "WhatsApp lets them get no more marketing for a day",
    "person_rate": "WhatsApp takes only so many messages to one person in a short time",
    "retry": "the last try failed for a passing reason",
    "undeliverable_once": "their phone could not be reached; it is tried once more",
    "content_unavailable": "the source of its content did not answer",
    "paused": "sending was stopped just before it would have begun",
    "phone": "their phone number was changed just before it would have gone out",
    "consent": "they withdrew their consent just before it would have gone out",
    "stopped": "the experiment was stopped just before it would have begun",
    "retired": "their variant was retired just before it would have begun",
    "guardrail": "a guardrail stopped their variant just before it would have begun",
}

NOT_SENT: Final[dict[str, str]] = {
    "consent": "they have not agreed to messages of this category, or no longer do",
    "no_phone": "they have no phone number",
    "cap": "the caps allow none at all",
    "tier": "the number may write to nobody",
    "quiet_hours": "there is no hour at which they may be written to",
    "window_closed": "it is a free text, and they last wrote to us more than 24 hours ago",
    "undeliverable": "their phone cannot be reached, or has no WhatsApp; that came twice",
    "opted_out": "they stopped marketing messages in WhatsApp",
    "meta_holdout": "WhatsApp keeps them out of marketing, as a trial of its own; they stay in the analysis",
    "own_number": "the phone number is our own",
    "not_in_test_list": "their phone is not on the list of the test number",
    "country_restricted": "the account may not write to people of their country",
    "never_for_person": "WhatsApp does not deliver to them",
    "late": "its time was over before it could be looked at: there was a pause, an open fuse, or no process that sends",
    "stopped": "the experiment was stopped",
    "retired": "their variant was retired, and what was planned for it with it",
    "guardrail": "a guardrail stopped their variant, because it did harm",
    "erased": "the person was erased",
    "unspecified": "no reason was kept",
}

CONTENT: Final = "content: "
"""Begins the reason of a message whose text could not be made; the rest says why."""


def left_out(reason: str) -> str:
    """Why somebody does not take part."""
    return LEFT_OUT.get(reason, f"of {reason}")


def put_off(reason: str) -> str:
    """Why a message waits for a later time.

    >>> put_off("tier")
    'the number has written to as many people in 24 hours as WhatsApp lets it'
    """
    return PUT_OFF.get(reason, f"of {reason}")


def not_sent(reason: str | None) -> str:
    """Why a message ended without going out.

    >>> not_sent("content: 'coupon' is undefined")
    "its text could not be made: 'coupon' is undefined"
    """
    if reason is None:
        return NOT_SENT["unspecified"]
    if reason.startswith(CONTENT):
        return f"its text could not be made: {reason.removeprefix(CONTENT)}"
    return NOT_SENT.get(reason) or put_off(reason)


def expired(reason: str | None) -> str:
    """Why a message's time was over: it had been put off, or nobody could look at it in time.

    >>> expired("tier")
    'until its time was over, the number has written to as many people in 24 hours as WhatsApp lets it'
    """
    if reason in PUT_OFF:
        return f"until its time was over, {PUT_OFF[reason]}"
    return not_sent(reason)


KNOWN: Final = frozenset({*PUT_OFF, *NOT_SENT, *NEVER_REASONS.values(), *ErrorClass})
"""Every reason that a message may have, beside those that begin with `CONTENT`."""
