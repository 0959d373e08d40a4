"""The world: people, and what each of them does in silence and after each template. Pure, seeded, vectorised.

Chance is coupled so that effects are causal and exact. One uniform number u per person decides about visiting: without a
message the person visits if u < p0; reached by template T, if u < p_T' (see behaviour.py). So a person whom T brings to
visit is one who would not have come by themselves, and everything else about the person stays as it was.
Fates hold for a person and a template: a second message of the same template meets the same fate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delivery.simulator.behaviour import Behaviour, Response, Treatment, respond
from delivery.simulator.config import Delays, Faults
from delivery.simulator.draws import Uniforms, amounts, delays, uniforms
from delivery.whatsapp.error_table import MARKETING_CAP, META_HOLDOUT, UNDELIVERABLE
from experiments.errors import Invalid, Problem

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Person:
    """`phone` is E.164, with or without `+`; `group` chooses a behaviour."""

    user_id: str
    phone: str
    group: str = ""

    @property
    def digits(self) -> str:
        return self.phone.removeprefix("+")


@dataclass(frozen=True, slots=True)
class OwnFates:
    """What people do by themselves, one entry per person; `moment` is a share of the window, `buy_delay` in seconds."""

    visits: Flags
    moment: Uniforms
    buys: Flags
    amount: Uniforms
    buy_delay: Uniforms


@dataclass(frozen=True, slots=True)
class Fates:
    """What a template does to people, one entry per person; delays in seconds after the step before.

    `caused`: visits because of the message (and so is delivered, read and clicked); `prevented`: does not visit because
    of it; `buys` and `amount` speak of caused visits; `by_preference`: stops by the menu instead of by writing STOP;
    `replied`: writes back; `pressed`: presses a quick reply.
    """

    delivered: Flags
    read: Flags
    clicked: Flags
    caused: Flags
    prevented: Flags
    buys: Flags
    amount: Uniforms
    opted_out: Flags
    by_preference: Flags
    sent_delay: Uniforms
    delivered_delay: Uniforms
    read_delay: Uniforms
    click_delay: Uniforms
    visit_delay: Uniforms
    buy_delay: Uniforms
    opt_out_delay: Uniforms
    replied: Flags
    pressed: Flags
    reply_delay: Uniforms
    press_delay: Uniforms


class World:
    """People and their fates. Raises Invalid for people or behaviours that cannot be."""

    def __init__(
        self,
        people: Sequence[Person],
        behaviours: Mapping[str, Behaviour],
        *,
        seed: int,
        faults: Faults = Faults(),  # noqa: B008  (frozen)
        delays: Delays = Delays(),  # noqa: B008  (frozen)
    ) -> None:
        self.people = tuple(people)
        self.templates: Mapping[str, Treatment] = behaviours[""].templates
        self._seed = seed
        self._faults = faults
        self._delays = delays
        self._behaviours = behaviours
        self._groups = tuple(behaviours)
        self.index = _check(self.people, behaviours)
        self._responses = {
            template: [
                respond(
                    behaviours[group].silence,
                    behaviours[group].templates[template],
                    reach=faults.reach,
                    where=f"behaviour.{f'groups.{group}.' if group else ''}templates.{template}",
                )
                for group in self._groups
            ]
            for template in self.templates
        }
        self._ids = [person.user_id for person in self.people]
        number = {group: position for position, group in enumerate(self._groups)}
        self._group_of = np.array([number[person.group] for person in self.people], dtype=np.intp)
        self._personal = uniforms(seed, "person", self._ids)
        self.fault_codes = _fault_codes(uniforms(seed, "fault", self._ids)[:, 0], faults)
        self.own = self._own()
        self.fates = {template: self._fates(template) for template in self.templates}

    def _per_person(self, values: Sequence[float]) -> Uniforms:
        return np.array(values, dtype=np.float64)[self._group_of]

    def _own(self) -> OwnFates:
        silences = [self._behaviours[group].silence for group in self._groups]
        u = self._personal
        return OwnFates(
            visits=u[:, 0] < self._per_person([silence.visit for silence in silences]),
            moment=u[:, 1],
            buys=u[:, 2] < self._per_person([silence.buy for silence in silences]),
            amount=amounts(
                u[:, 3],
                self._per_person([silence.revenue for silence in silences]),
                self._per_person([silence.spread for silence in silences]),
            ),
            buy_delay=delays(u[:, 4], self._delays.buy),
        )

    def _fates(self, template: str) -> Fates:
        responses = self._responses[template]

        def rate(name: str) -> Uniforms:
            return self._per_person([getattr(response, name) for response in responses])

        u = uniforms(self._seed, f"response\0{template}", self._ids)
        w = uniforms(self._seed, f"delay\0{template}", self._ids)
        comes = self._personal[:, 0]
        delivered = (u[:, 0] < rate("delivered")) & (self.fault_codes == 0)
        caused = delivered & (rate("own") <= comes) & (comes < rate("visit"))
        read = delivered & (caused | (u[:, 1] < rate("read")))
        clicked = read & (caused | (u[:, 2] < rate("clicked")))
        scale = self._delays
        return Fates(
            delivered=delivered,
            read=read,
            clicked=clicked,
            caused=caused,
            prevented=delivered & (rate("visit") <= comes) & (comes < rate("own")),
            buys=caused & (self._personal[:, 2] < rate("buy")),
            amount=amounts(self._personal[:, 3], rate("revenue"), rate("spread")),
            opted_out=read & (u[:, 3] < rate("opted_out")),
            by_preference=u[:, 4] < 0.5,
            sent_delay=delays(w[:, 0], scale.sent),
            delivered_delay=delays(w[:, 1], scale.delivered),
            read_delay=delays(w[:, 2], scale.read),
            click_delay=delays(w[:, 3], scale.click),
            visit_delay=delays(w[:, 4], scale.visit),
            buy_delay=delays(w[:, 5], scale.buy),
            opt_out_delay=delays(w[:, 6], scale.opt_out),
            replied=read & (u[:, 5] < rate("replied")),
            pressed=read & (u[:, 6] < rate("pressed")),
            reply_delay=delays(w[:, 7], scale.reply),
            press_delay=delays(u[:, 7], scale.reply),
        )

    def truth(self) -> dict[str, Any]:
        """The expected rates over everybody, per template and in silence, by intention to treat.

        They hold for one message per person of an experiment and a sender that does not resend what ended unknown, while nothing
        else refuses messages (Engagement, Limits, pauses of templates, a fault plan).
        `revenue` is per person, not per buyer. `difference` is treatment minus silence: the effect to be found.
        """
        count = len(self.people)
        shares = np.bincount(self._group_of, minlength=len(self._groups)) / count if count else None
        weights = np.array([1.0] + [0.0] * (len(self._groups) - 1)) if shares is None else shares
        silences = [self._behaviours[group].silence for group in self._groups]
        silence = _mean(
            weights,
            [
                {"visit": s.visit, "buy": s.visit * s.buy, "revenue": s.visit * s.buy * s.revenue}
                for s in silences
            ],
        )
        treatments = {}
        for template, responses in self._responses.items():
            rows = [
                _expected(response, behaviour, template, self._faults)
                for response, behaviour in zip(responses, self._behaviours.values(), strict=True)
            ]
            mean = _mean(weights, rows)
            treatments[template] = mean | {
                "difference": {name: mean[name] - silence[name] for name in silence}
            }
        return {"people": count, "silence": silence, "treatments": treatments}


def _expected(response: Response, behaviour: Behaviour, template: str, faults: Faults) -> dict[str, float]:
    silence, treatment = behaviour.silence, behaviour.templates[template]
    reached = treatment.delivered * faults.reach
    read = reached * treatment.read
    change = reached * (response.visit - response.own)
    gained, lost = max(0.0, change), max(0.0, -change)
    own_visits = silence.visit - lost
    return {
        "delivered": reached,
        "read": read,
        "clicked": read * treatment.clicked,
        "opted_out": read * treatment.opted_out,
        "replied": read * treatment.replied,
        "pressed": read * treatment.pressed,
        "visit": silence.visit + change,
        "buy": own_visits * silence.buy + gained * response.buy,
        "revenue": own_visits * silence.buy * silence.revenue + gained * response.buy * response.revenue,
    }


def _mean(weights: Uniforms, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(sum(w * row[name] for w, row in zip(weights, rows, strict=True))) for name in rows[0]}


def _fault_codes(draw: Uniforms, faults: Faults) -> NDArray[np.int64]:
    """Per person the error code that every message to them meets, 0 for none."""
    edges = np.cumsum([faults.marketing_cap, faults.meta_holdout, faults.undeliverable])
    codes = np.array([MARKETING_CAP, META_HOLDOUT, UNDELIVERABLE, 0])
    return codes[np.searchsorted(edges, draw, side="right")]


def _check(people: Sequence[Person], behaviours: Mapping[str, Behaviour]) -> dict[str, int]:
    """Position by phone digits; raises Invalid for a person that is incomplete or there twice."""
    index: dict[str, int] = {}
    users: set[str] = set()
    for position, person in enumerate(people):
        where = f"people[{position}]"
        if not person.user_id or person.user_id in users:
            raise Invalid.of([Problem(f"{where}.user_id", "must be there, and only once")])
        if not (person.digits.isascii() and person.digits.isdigit()) or person.digits in index:
            raise Invalid.of([Problem(f"{where}.phone", "must be an E.164 number, and be there only once")])
        if person.group not in behaviours:
            raise Invalid.of([Problem(f"{where}.group", "has no behaviour")])
        users.add(person.user_id)
        index[person.digits] = position
    return index
