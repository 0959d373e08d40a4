"""A made-up world whose truth is known: what its users do under some shares of traffic, and what anybody can know of it at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from analysis.stats.estimates import AllocationEvidence
from analysis.stats.simulated_amounts import Amounts

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true. K arms, T intervals in which users come; an epoch is an interval.

    rates: users with a number above 0 per assigned user, within the window, (K,). amounts: what that number is, of each arm; None: 1, a conversion.
    delays: when it happens, (K, B): chances of the intervals after the assignment, B of them
    make the window; each row sums to 1. B = 0: all happen at once, and are known at the end of the interval. arrivals: users of an interval, (T,). drift: what the rates are multiplied with in each interval, (T,).
    maximise: whether more is good. conversion, price, messages: of an objective in money, conversion x number - price x messages delivered to a user (number
    negative where less is better): planned messages per user of each arm, (K,), and the chance of each to arrive, `arriving`, (K,). No price: the number itself.
    """

    rates: Floats
    delays: Floats
    arrivals: Counts
    drift: Floats
    maximise: bool = True
    amounts: Sequence[Amounts] | None = None
    conversion: float = 1.0
    price: float = 0.0
    messages: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    arriving: Floats = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        arms, intervals = len(self.rates), len(self.arrivals)
        if arms < 2 or intervals < 1 or self.drift.shape != (intervals,):
            raise ValueError("a world has at least two arms and one interval, and a drift for each interval")
        if self.delays.ndim != 2 or len(self.delays) != arms or np.any(self.delays < 0):
            raise ValueError("delays are chances, one row for each arm")
        if self.delays.shape[1] and not np.allclose(self.delays.sum(axis=1), 1):
            raise ValueError("the delays of each arm sum to 1")
        if (
            np.any(self.rates < 0)
            or np.any(np.outer(self.drift, self.rates) > 1)
            or np.any(self.arrivals < 0)
        ):
            raise ValueError("rates, also after drift, lie between 0 and 1; arrivals are at least 0")
        if self.amounts is not None and len(self.amounts) != arms:
            raise ValueError("a world has amounts for each arm, or for none")
        if self.price and not (len(self.messages) == len(self.arriving) == arms):
            raise ValueError(
                "a world in which messages cost has messages, and a chance to arrive, for each arm"
            )

    @property
    def means(self) -> Floats:
        """The expected number of an assigned user, before any drift, (K,)."""
        if self.amounts is None:
            return self.rates
        return np.asarray(self.rates * np.array([each.mean for each in self.amounts]))

    @property
    def worth(self) -> Floats:
        """What arms are compared by, of a user of each interval, so that more is better: the number, or money, (T, K)."""
        sign = 1.0 if self.maximise else -1.0
        numbers = sign * self.drift[:, None] * self.means
        if not self.price:
            return np.asarray(numbers)
        return np.asarray(self.conversion * numbers - self.price * self.messages * self.arriving)

    @property
    def best(self) -> NDArray[np.bool_]:
        """The arms that are best for everybody; several when they tie."""
        each = self.arrivals @ self.worth
        return np.asarray(np.isclose(each, each.max(), rtol=1e-12, atol=0))

    @property
    def best_of_moment(self) -> NDArray[np.bool_]:
        """The arms that are best for a user of each interval, (T, K): others than `best` where a drift, beside the price of messages, changes their order."""
        return np.asarray(np.isclose(self.worth, self.worth.max(axis=1, keepdims=True), rtol=1e-12, atol=0))

    def lost(self, users: Floats) -> Floats:
        """What was expected to be missed (or suffered) against the best arm of each moment, by the users of each interval and arm, (.., T, K) -> (..).

        The regret of all ways to play a campaign, so that they can be compared: never below 0, and the usual one where one arm is the best throughout.
        """
        return np.asarray((users * (self.worth.max(axis=1, keepdims=True) - self.worth)).sum(axis=(-2, -1)))

    def worth_of(self, users: Floats, total: Floats, squares: Floats) -> tuple[Floats, Floats]:
        """Sums and sums of squares of users' worth in money, from those of their numbers; messages at what is expected of a user, (.., K)."""
        scale, paid = (
            self.conversion * (1 if self.maximise else -1),
            self.price * self.messages * self.arriving,
        )
        return scale * total - paid * users, scale**2 * squares - 2 * scale * paid * total + paid**2 * users


@dataclass(slots=True)
class Seen:
    """What has happened in R worlds. users, delivered: (R, T, K), assigned users and messages that arrived. converted, total, squares: users with a number, and sum and sum
    of squares of these numbers, by delay, (R, T, K, B); the same three where a number is 1. at_once: B is 1, and that bin is over when the interval is.
    early: users come at the beginning of their interval, and have been watched for one at its end; else during it, and what was watched of it is not counted.
    """

    world: World
    users: Floats
    delivered: Floats
    converted: Floats
    total: Floats
    squares: Floats
    at_once: bool
    early: bool

    @classmethod
    def nobody(cls, world: World, worlds: int, *, early: bool = False) -> Self:
        """Before anybody has come to so many worlds."""
        arms, bins = world.delays.shape
        shape = (worlds, len(world.arrivals), arms)
        converted = np.zeros((*shape, max(bins, 1)))
        own = world.amounts is not None
        return cls(
            world=world,
            users=np.zeros(shape),
            delivered=np.zeros(shape if world.price else (0, 0, 0)),
            converted=converted,
            total=np.zeros_like(converted) if own else converted,
            squares=np.zeros_like(converted) if own else converted,
            at_once=bins == 0,
            early=early or bins == 0,
        )

    def only(self, kept: NDArray[np.bool_]) -> "Seen":
        """The same of some of the worlds."""
        converted = self.converted[kept]
        own = self.total is not self.converted
        return replace(
            self,
            users=self.users[kept],
            delivered=self.delivered[kept] if self.world.price else self.delivered,
            converted=converted,
            total=self.total[kept] if own else converted,
            squares=self.squares[kept] if own else converted,
        )

    def draw(
        self, now: int, shares: Floats, rng: np.random.Generator, *, arrivals: Counts | None = None
    ) -> None:
        """The users of interval `now` (0 the first) and all that they will do. shares: (R, K). arrivals: of each world, (R,), instead of the world's."""
        world = self.world
        came = int(world.arrivals[now]) if arrivals is None else arrivals
        users = rng.multinomial(came, shares)
        delays = np.ones((len(world.rates), 1)) if self.at_once else world.delays
        chances = delays * (world.rates * world.drift[now])[:, None]
        never = np.maximum(1 - chances.sum(axis=1, keepdims=True), 0.0)
        drawn = rng.multinomial(users, np.concatenate([chances, never], axis=1))[..., :-1]
        self.users[:, now], self.converted[:, now] = users, drawn
        if world.amounts is not None:
            for arm, amounts in enumerate(world.amounts):
                self.total[:, now, arm], self.squares[:, now, arm] = amounts.sums(drawn[:, arm], rng)
        if world.price:
            self.delivered[:, now] = rng.binomial(users * world.messages, world.arriving)

    def mature(self, now: int) -> int:
        """How many intervals, from the first, have users whose windows have closed at the end of interval `now`."""
        return int(min(max(now + self.early - self.converted.shape[-1] + 1, 0), self.users.shape[1]))

    def pooled(self, now: int, *, delays_known: bool) -> AllocationEvidence:
        """As `evidence`, with all epochs taken for one."""
        found = self.evidence(now, delays_known=delays_known)
        return replace(
            found,
            **{
                name: getattr(found, name).sum(axis=1, keepdims=True)
                for name in ("users", "total", "total_squares")
            },
        )

    def evidence(self, now: int, *, delays_known: bool) -> AllocationEvidence:
        """As of the end of interval `now` (0 the first): users of interval s have been watched for now - s whole intervals (`early`: one more)."""
        worlds, _, arms, bins = self.converted.shape
        last = min(now + 1, self.users.shape[1])
        ages = np.minimum(now + self.early - np.arange(last), bins)
        visible = (np.arange(bins) < ages[:, None])[:, None, :]
        is_share = self.world.amounts is None
        so_far = np.where(visible, self.total[:, :last], 0.0).sum(axis=-1)
        squares = so_far if is_share else np.where(visible, self.squares[:, :last], 0.0).sum(axis=-1)
        users = self.users[:, :last]
        known = AllocationEvidence(
            users=users[..., None],
            total=so_far[..., None],
            total_squares=squares[..., None],
            delays=None,
            active=np.ones((worlds, arms), dtype=bool),
            conversions=None
            if is_share
            else np.where(visible, self.converted[:, :last], 0.0).sum(axis=(1, 3)),
            messages=self.delivered[:, :last].sum(axis=1) / np.maximum(users.sum(axis=1), 1.0)
            if self.world.price
            else None,
            proportion=is_share,
        )
        if self.at_once or not delays_known:
            return known
        by_age, total, total_squares = np.zeros((3, worlds, last, arms, bins + 1))
        epochs = np.arange(last)
        by_age[:, epochs, :, ages] = users.transpose(1, 0, 2)
        total[:, epochs, :, ages] = so_far.transpose(1, 0, 2)
        total_squares[:, epochs, :, ages] = squares.transpose(1, 0, 2)
        delays = np.zeros((worlds, arms, bins + 1, bins))
        for age in range(1, bins + 1):
            delays[:, :, age, :age] = self.total[:, :last][:, ages == age, :, :age].sum(axis=1)
        return replace(known, users=by_age, total=total, total_squares=total_squares, delays=delays)
