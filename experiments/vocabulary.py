"""The words of the project as types. One place, so that a state or a scope is never a loose string."""

from enum import StrEnum


class ExperimentStatus(StrEnum):
    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Category(StrEnum):
    """WhatsApp's categories of templates; consent is given per category."""

    MARKETING = "marketing"
    UTILITY = "utility"
    AUTHENTICATION = "authentication"


class MetricKind(StrEnum):
    """What a metric makes of the events of its users; `sum` and `mean` are two names of one thing (experiments/metrics.py)."""

    PROPORTION = "proportion"
    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    RATIO = "ratio"
    QUANTILE = "quantile"
    RETENTION = "retention"


SHARE_KINDS = (MetricKind.PROPORTION, MetricKind.RETENTION)
"""Kinds in which a user's number is 0 or 1."""


class MessageStage(StrEnum):
    """What can become of a message of an experiment, as far as metrics count it."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    BLOCKED = "blocked"
    FAILED = "failed"


class MetricRole(StrEnum):
    PRIMARY = "primary"
    SECONDARY = "secondary"
    GUARDRAIL = "guardrail"


class Direction(StrEnum):
    """Which way is better."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Method(StrEnum):
    """How a comparison stays valid when it is looked at (STATISTICS section 3)."""

    FIXED = "fixed"
    SPENDING = "spending"
    ALWAYS_VALID = "always_valid"
    EXACT = "exact"


class MessageState(StrEnum):
    """States of a row of the outbox.

    planned -> claimed -> inflight -> accepted -> sent -> delivered -> read | failed | unknown;
    or suppressed (reason), expired, cancelled.
    """

    PLANNED = "planned"
    CLAIMED = "claimed"
    INFLIGHT = "inflight"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


WAITING_STATES = (MessageState.PLANNED, MessageState.CLAIMED)
"""Not yet committed to go out."""

REACHED_WHATSAPP = (MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED, MessageState.READ)
"""WhatsApp took the message (funnel stage `accepted`)."""

RECEIVED_STATES = (MessageState.DELIVERED, MessageState.READ)
"""The message reached the person (funnel stage `delivered`)."""


class Scope(StrEnum):
    """What an API key may do. `admin` implies `write`, `write` implies `read`; the other two stand alone."""

    INGEST = "ingest"
    EVALUATE = "evaluate"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Role(StrEnum):
    """What a person may do who signs in with an account."""

    READER = "reader"
    EDITOR = "editor"
    ADMIN = "admin"


class DecisionAction(StrEnum):
    CONTINUE = "continue"
    SHIP = "ship"
    KEEP_CONTROL = "keep_control"
    STOP_HARM = "stop_harm"
    INCONCLUSIVE = "inconclusive"


OPTED_OUT_EVENT = "Opted Out"
"""Recorded for a user whenever consent is withdrawn, so that `opted_out` is a metric like any other."""

MESSAGE_RECEIVED_EVENT = "Message Received"
"""Recorded for a user who writes to us on WhatsApp; its property `kind` is text, button, image ..; its words are not kept."""

MARKETING_STOPPED_EVENT = "Marketing Stopped"
MARKETING_RESUMED_EVENT = "Marketing Resumed"
"""Recorded for a user who says on WhatsApp to want no (or again) marketing messages, at the time it was said."""

EXPERIMENT_VIEWED_EVENT = "Experiment Viewed"
"""Recorded for a user who is told a variant; its properties are `experiment` and `variant`."""

TEMPLATE_VARIABLES = ("user", "coupon", "experiment", "variant", "now", "events", "content")
"""The names that a message parameter may use."""
