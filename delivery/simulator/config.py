"""How a simulator is set up. Every address in it must be on this machine."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Self

from delivery.simulator.fault_plan import FaultPlan
from delivery.simulator.profile import Engagement, Limits, Pacing, Telling
from experiments.clock import Clock, ScaledClock, SystemClock
from experiments.errors import Invalid, Refused
from experiments.settings import is_loopback


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, as shares in [0, 1], each decided by seed and key and not by order.

    Of people, the same in each attempt: `marketing_cap` (131049), `meta_holdout` (130472), `undeliverable` (131026);
    answered at once, or, with `as_status`, accepted and reported later by a `failed` status, as Meta mostly does.
    Of POSTs: `server_error` (HTTP 502 without JSON; nothing was sent), `drop` (accepted, then the connection is cut without
    an answer), `slow` (accepted, then answered only after `slow_seconds` of real time), `reset` (accepted, then cut half way
    through the answer), `server_error_after` (accepted, then HTTP 502 without JSON all the same).
    Of status webhooks: `duplicate` (sent twice), `late` (sent `late_seconds` of simulated time after it happened, and so
    after its successors).
    """

    marketing_cap: float = 0.0
    meta_holdout: float = 0.0
    undeliverable: float = 0.0
    as_status: bool = False
    server_error: float = 0.0
    drop: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 1.0
    duplicate: float = 0.0
    late: float = 0.0
    late_seconds: float = 7200.0
    reset: float = 0.0
    server_error_after: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            limit = float("inf") if item.name.endswith("_seconds") else 1.0
            if not 0 <= value <= limit:
                raise Invalid(f"must be between 0 and {limit}", field=f"faults.{item.name}")
        if self.people > 1 or self.posts > 1:
            raise Invalid("shares must not sum to more than 1", field="faults")

    @property
    def people(self) -> float:
        """The share of people whom no message reaches."""
        return self.marketing_cap + self.meta_holdout + self.undeliverable

    @property
    def posts(self) -> float:
        """The share of POSTs that something happens to."""
        return self.server_error + self.drop + self.slow + self.reset + self.server_error_after

    @property
    def reach(self) -> float:
        """The share of first messages that WhatsApp takes and tries to deliver."""
        return (1.0 - self.people) * (1.0 - self.server_error)


@dataclass(frozen=True, slots=True)
class Delays:
    """Scales, in simulated seconds, of how long each step takes after the one before it (see draws.delays)."""

    sent: float = 2.0
    delivered: float = 10.0
    read: float = 3600.0
    click: float = 60.0
    visit: float = 5.0
    buy: float = 900.0
    opt_out: float = 120.0
    reply: float = 300.0

    def __post_init__(self) -> None:
        for item in fields(self):
            if not 0 <= getattr(self, item.name) < float("inf"):
                raise Invalid("must not be negative", field=f"delays.{item.name}")

    def hurried(self, factor: float) -> Self:
        """Every step `factor` times sooner; raises Invalid unless it is a number above 0."""
        if not 0 < factor < float("inf"):
            raise Invalid("must be a number above 0", field="hurry")
        return replace(self, **{item.name: getattr(self, item.name) / factor for item in fields(self)})


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """One simulator.

    Addresses: `webhook_url` is where webhooks are POSTed, whole; `public_url` + `/r/{token}` is where links are clicked;
    `tracking_url` + `/v1/track` is where events go, with `write_key` as user name. None: that is left out.
    `throughput` is in messages per second of real time (130429 above it), None: unlimited. `limits`, `engagement`, `pacing`
    (of every marketing template that says nothing else), `telling` and `fault_plan` are explained where they are defined;
    all are off by default, and `realistic` sets them as the real WhatsApp has them. The clock is the machine's, unless `clock_start`
    is given; processes that share `clock_start`, `clock_factor` and `clock_origin` agree about the time.
    `port` 0 takes any free one. `hold` starts with webhooks and calls held back (see `POST /simulator/release`).
    """

    port: int = 0
    token: str = field(default="simulated", repr=False)
    phone_number_id: str = "106540352242922"
    display_phone_number: str = "447700900999"
    waba_id: str = "102290129340398"
    app_secret: str = field(default="simulated", repr=False)
    webhook_url: str | None = None
    public_url: str | None = None
    tracking_url: str | None = None
    write_key: str = field(default="", repr=False)
    seed: int = 0
    throughput: float | None = 80.0
    clock_start: datetime | None = None
    clock_factor: float = 1.0
    clock_origin: float | None = None
    faults: Faults = Faults()
    delays: Delays = Delays()
    limits: Limits = Limits()  # noqa: RUF009  (frozen)
    engagement: Engagement | None = None
    pacing: Pacing | None = None
    telling: Telling = Telling()  # noqa: RUF009  (frozen)
    fault_plan: FaultPlan = FaultPlan()  # noqa: RUF009  (frozen)
    visit_event: str = "Visited"
    purchase_event: str = "Order Completed"
    batch: int = 100
    concurrency: int = 16
    attempts: int = 12
    hold: bool = False

    def __post_init__(self) -> None:
        for name in ("webhook_url", "public_url", "tracking_url"):
            url = getattr(self, name)
            if url is not None and not is_loopback(url):
                raise Refused(f"{name} is {url}, which is not this machine; a simulator calls 127.0.0.1 only")
        if not self.token or not self.phone_number_id or not self.waba_id or not self.app_secret:
            raise Invalid(
                "token, phone_number_id, waba_id and app_secret must not be empty", field="simulator"
            )
        if self.phone_number_id == self.waba_id:
            raise Invalid("must not be the phone_number_id", field="waba_id")
        if self.throughput is not None and self.throughput <= 0:
            raise Invalid("must be positive", field="throughput")
        for name in ("batch", "concurrency", "attempts"):
            if getattr(self, name) < 1:
                raise Invalid("must be at least 1", field=name)

    @classmethod
    def realistic(cls, **changes: Any) -> Self:
        """A WhatsApp as strict as the real one: pair rate, engagement cap, pacing, and 1 % of people in Meta's holdout.

        `changes` are fields of the configuration, and win.
        """
        return cls(**(REALISTIC | changes))

    def clock(self) -> Clock:
        if self.clock_start is None:
            return SystemClock()
        if self.clock_origin is None:
            return ScaledClock(self.clock_start, self.clock_factor)
        return ScaledClock(self.clock_start, self.clock_factor, self.clock_origin)


REALISTIC: Final[dict[str, Any]] = {
    "throughput": 80.0,
    "faults": Faults(meta_holdout=0.01, as_status=True),
    "limits": Limits(pair_rest=6.0, pair_burst=45, stopped=True),
    "engagement": Engagement(),
    "pacing": Pacing(),
}
"""What `SimulatorConfig.realistic` sets."""
