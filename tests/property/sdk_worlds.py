"""Made-up conditions, experiments and users for the doors through which SDKs evaluate; everything follows from one Random."""

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from experiments.design import ExperimentDesign
from targeting.conditions import matches
from targeting.draw import draw_variants, unit_of
from targeting.payload import Running

NOW: Final = datetime(2026, 12, 1, 10, 0, 30, tzinfo=UTC)
TIMES: Final = [
    "2026-11-01", "2026-11-02", "2026-11-01T10:00", "2026-11-01T10:00:00Z", "2026-11-01T10:00:31Z", "2026-11-01T10:00:30",
    "2026-11-01T10:00:29.999Z", "2026-11-01T10:00:30.5Z", "2026-10-31T23:59:59.999999Z", "2026-11-30", "2026-12-01T10:00:29Z",
    "2024-02-29", "2027-01-01",
]  # fmt: skip
ODD_TIMES: Final = [
    "2026-11-01T12:00:30+02:00",
    "2026-11-01 10:00:30",
    "2026-02-30",
    "2026-11-01\n",
    "2025-02-29",
]
WORDS: Final = ["NL", "BR", "nl", "gold", "", "5", "true", "null", "naïve 🙂"]
VERSIONS: Final = ["1.2.3", "v1.10.0", "1.2.3-rc.1", "0"]
ODD: Final[list[Any]] = [
    *WORDS, *TIMES, *ODD_TIMES, *VERSIONS, 0, 5, -1.5, 1, 10, True, False, [], ["gold"], [5], ["5"], [True], [None],
    [0, "gold"], {}, {"a": 1}, [{"a": "NL"}, {"a": 5}], ["gold", "NL"],
]  # fmt: skip


def odd_attributes(random: Random) -> dict[str, Any]:
    """Attributes of any type under any name."""
    return {name: random.choice(ODD) for name in ("x", "y", "z") if random.random() < 0.75}


def odd_condition(random: Random, depth: int = 0) -> dict[str, Any]:
    """A valid condition over x, y and z that compares anything with anything."""
    draw = random.random()
    if depth < 3 and draw < 0.3:
        parts = [odd_condition(random, depth + 1) for _ in range(random.randint(0, 3))]
        return {random.choice(["$and", "$or", "$nor"]): parts}
    if depth < 3 and draw < 0.4:
        return {"$not": odd_condition(random, depth + 1)}
    return {random.choice("xyz"): _odd_value(random) for _ in range(random.randint(1, 2))}


def _odd_value(random: Random) -> Any:
    if random.random() < 0.2:
        return random.choice([None, ["gold"], *WORDS, 0, 5, True, False])
    operators = _odd_operator(random)
    return operators | _odd_operator(random) if random.random() < 0.2 else operators


def _odd_operator(random: Random) -> dict[str, Any]:
    scalars = [0, 5, 1, -1, "5", "", "gold", "NL", True, False]
    name = random.choice(OPERATORS)
    operand: Any = random.choice(scalars)
    if name in {"$in", "$nin", "$ini", "$nini"}:
        operand = random.sample(scalars, random.randint(0, 3))
    elif name in {"$all", "$alli"}:
        operand = random.sample(["gold", "Gold", "NL", 5], random.randint(0, 2))
    elif name.startswith(("$regex", "$notRegex")):
        operand = random.choice(["o", "^5", "null", "T", "^$"])
    elif name.startswith("$v"):
        operand = random.choice(VERSIONS)
    elif name in OPERANDS:
        operand = random.choice(OPERANDS[name])
    return {name: operand}


OPERATORS: Final = [
    "$lt", "$lte", "$gt", "$gte", "$eq", "$ne", "$in", "$nin", "$ini", "$nini", "$all", "$alli", "$regex", "$regexi",
    "$notRegex", "$notRegexi", "$veq",
    "$vgt", "$vlte", "$vne", "$exists", "$type", "$size", "$elemMatch", "$not", "$olderThan", "$newerThan",
]  # fmt: skip
OPERANDS: Final[dict[str, list[Any]]] = {
    "$exists": [True, False],
    "$type": ["null", "number", "string", "boolean", "array", "object"],
    "$size": [0, 1, {"$gt": 0}],
    "$elemMatch": [{"$gt": 1}, {"$eq": "gold"}, {"a": "NL"}, {"a": 5}, {"$in": ["NL"]}, {"$lt": 5, "$ne": 0}],
    "$not": [{"$gt": 1}, {"$regex": "o"}, "gold", {"$olderThan": "30d"}, True],
    "$olderThan": ["30d", "1d", "36h"],
    "$newerThan": ["30d", "1d", "36h"],
}


@dataclass(frozen=True)
class Person:
    """A user as the application and we know them; `lists` are the list segments that hold them."""

    user_id: str
    attributes: dict[str, Any]
    lists: frozenset[str]

    @property
    def sdk_attributes(self) -> dict[str, Any]:
        return {"id": self.user_id, **self.attributes}


@dataclass(frozen=True)
class World:
    """Experiments that run, by key and in an order in which prerequisites come first, and users."""

    running: dict[str, Running]
    people: list[Person]
    lists: dict[str, list[str]]
    global_holdout: float

    def variant(self, key: str, person: Person) -> str | None:
        """What enrolment draws for somebody who can be messaged and has not been looked at before."""
        one = self.running[key]
        design = one.design
        if person.user_id in design.audience.forced:
            return design.audience.forced[person.user_id]
        for each in design.audience.prerequisites:
            if self.variant(each.experiment, person) not in each.variants:
                return None
        if not matches(dict(one.condition), person.attributes, now=NOW, segments=person.lists):
            return None
        unit = unit_of(design, user_id=person.user_id, attributes=person.attributes)
        if unit is None:
            return None
        draw = draw_variants(
            design,
            weights=one.weights,
            units=[unit],
            user_ids=[person.user_id],
            global_holdout=self.global_holdout,
        )
        return draw.variants[0]


def world(random: Random, *, experiments: int = 4, people: int = 40) -> World:
    """A world in which attributes have the types that conditions expect of them, or are missing."""
    users = [_person(random, number) for number in range(people)]
    running: dict[str, Running] = {}
    for number in range(experiments):
        one = _running(random, f"exp-{number}", list(running.values()), users)
        running[one.design.key] = one
    lists = {key: [person.user_id for person in users if key in person.lists] for key in ("vip", "staff")}
    return World(running, users, lists, global_holdout=random.choice([0, 0, 0.1]))


def _person(random: Random, number: int) -> Person:
    choices: dict[str, list[Any]] = {
        "country": ["NL", "BR", "DE"],
        "age": [0, 17, 18, 40.5],
        "vip": [True, False],
        "last_order_at": TIMES,
        "company": ["acme", "globex", 5, 0, ""],
        "tags": [[], ["gold"], ["gold", "new"]],
    }
    attributes = {name: random.choice(values) for name, values in choices.items() if random.random() < 0.8}
    lists = frozenset(key for key in ("vip", "staff") if random.random() < 0.3)
    return Person(random.choice(["user-{}", "🙂{}", "{}"]).format(number + 1), attributes, lists)


def _condition(random: Random) -> dict[str, Any]:
    clauses: list[dict[str, Any]] = [
        {"country": {"$in": ["NL", "BR"]}}, {"country": "NL"}, {"age": {"$gte": 18}}, {"age": {"$lt": 18}}, {"vip": True},
        {"last_order_at": {"$olderThan": "30d"}}, {"last_order_at": {"$not": {"$newerThan": "30d"}}}, {"tags": {"$all": ["gold"]}},
        {"$inSegment": "vip"}, {"$not": {"$inSegment": ["vip", "staff"]}}, {"$or": [{"age": {"$gt": 20}}, {"country": "DE"}]},
    ]  # fmt: skip
    return {"$and": random.sample(clauses, random.randint(1, 2))} if random.random() < 0.7 else {}


def _running(random: Random, key: str, before: list[Running], people: list[Person]) -> Running:
    names = ["silence", "reminder", "coupon"][: random.randint(2, 3)]
    hashed = random.choice(["user_id", "user_id", "company"])
    audience: dict[str, Any] = {
        "coverage": random.choice([1, 0.5, 0.9]),
        "holdout": random.choice([0, 0.1]),
        # Each in a layer of its own: ranges of one layer would have to be disjoint, and of the same hash.
        "layer": random.choice([None, {"key": f"layer-{key}", "range": [0.2, 0.9]}]),
        "hash_attribute": hashed,
        "fallback_attribute": random.choice([None, "user_id", "tier"]),
        "forced": {person.user_id: random.choice(names) for person in random.sample(people, random.choice([0, 0, 2]))},
        "prerequisites": [
            {"experiment": parent.design.key, "variants": [variant.key for variant in parent.design.variants[1:]]}
            for parent in before
            if random.random() < 0.2
        ],
    }  # fmt: skip
    design = ExperimentDesign.model_validate(
        {
            "key": key,
            "name": key,
            "category": random.choice(["marketing", "utility"]),
            "audience": audience,
            "variants": [
                {"key": name, "control": name == "silence", "message": None if name == "silence" else MESSAGE}
                for name in names
            ],
            "metrics": [
                {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
            ],
        }
    )
    parts = [random.choice([1, 2, 3.5]) for _ in names]
    weights = {name: part / sum(parts) for name, part in zip(names, parts, strict=True)}
    return Running(design, begins_at=NOW, weights=weights, condition=_condition(random))


MESSAGE: Final = {"template": "reminder", "language": "en_US"}
