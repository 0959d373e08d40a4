"""The business phone number as Graph shows it: quality, messaging limit, throughput."""

from dataclasses import dataclass
from typing import Any

from delivery.simulator.graph import GraphError
from delivery.simulator.notices import Notice, capability, number_limit

_TIERS = {None: "TIER_UNLIMITED", 250: "TIER_250", 2000: "TIER_2K", 10_000: "TIER_10K", 100_000: "TIER_100K"}
DEFAULT_FIELDS = (
    *("verified_name", "code_verification_status", "display_phone_number", "quality_rating"),
    *("platform_type", "throughput", "id"),
)
HIGH_THROUGHPUT = 80.0
"""Messages per second; a number that may send more has the level HIGH."""


def tier_name(tier: int | None) -> str:
    return _TIERS.get(tier, f"TIER_{tier}")


@dataclass(slots=True)
class Number:
    """`tier` as in Limits, `throughput` in messages per second (None: unlimited)."""

    id: str
    display_phone_number: str
    throughput: float | None
    tier: int | None
    quality_rating: str = "GREEN"

    def node(self, fields: str | None) -> dict[str, Any]:
        """The `fields`, separated by commas; None: those that Graph gives unasked. Raises GraphError for another."""
        high = self.throughput is None or self.throughput > HIGH_THROUGHPUT
        everything = {
            "id": self.id,
            "display_phone_number": f"+{self.display_phone_number}",
            "verified_name": "Simulated",
            "code_verification_status": "VERIFIED",
            "quality_rating": self.quality_rating,
            "platform_type": "CLOUD_API",
            "throughput": {"level": "HIGH" if high else "STANDARD"},
            "messaging_limit_tier": tier_name(self.tier),
            "whatsapp_business_manager_messaging_limit": tier_name(self.tier),
            "status": "CONNECTED",
            "name_status": "APPROVED",
            "account_mode": "LIVE",
        }
        wanted = DEFAULT_FIELDS if fields is None else tuple(name.strip() for name in fields.split(","))
        for name in wanted:
            if name not in everything:
                raise GraphError(100, f"Tried accessing nonexisting field ({name:.40})")
        return {name: everything[name] for name in dict.fromkeys((*wanted, "id"))}

    def rate(self, quality: str, at: int) -> list[Notice]:
        """Another quality rating; returns what is told of it, `at` in seconds since 1970."""
        if quality == self.quality_rating:
            return []
        self.quality_rating = quality
        event, name = "FLAGGED" if quality == "RED" else "UNFLAGGED", tier_name(self.tier)
        return [number_limit(self.display_phone_number, event, name, name, at)]

    def move(self, tier: int | None, at: int) -> list[Notice]:
        """Another messaging limit; returns what is told of it."""
        if tier == self.tier:
            return []
        old, self.tier = self.tier, tier
        event = "UPGRADE" if tier is None or (old is not None and tier > old) else "DOWNGRADE"
        limit = number_limit(self.display_phone_number, event, tier_name(old), tier_name(tier), at)
        return [limit, capability(tier, at)]
