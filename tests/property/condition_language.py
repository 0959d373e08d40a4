"""Random conditions over the whole language, random users, and what they did: shared by the tests of conditions."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from targeting.conditions import Occurrence

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
KEYS = ("plan", "age", "tags", "address", "städte", "seen at", "$groups")
EVENTS = ("Order Completed", "Opened", 'it\'s "odd" \\ 100%')
LISTS = ("vip", "staff", "new-users")

clean_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**53), 2**53),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, -2.25, 1e10]),
    st.decimals(-1000, 1000, places=2).map(float),
)
times = st.one_of(
    st.builds(
        lambda micros, zone: (NOW + timedelta(microseconds=micros)).isoformat() + zone,
        st.integers(-400 * 86_400_000_000, 2 * 86_400_000_000),
        st.just(""),
    ),
    st.builds(
        lambda day, clock, zone: f"2026-{day}{clock}{zone}",
        st.sampled_from(["01-30", "02-28", "02-29", "02-30", "03-01", "00-10", "13-01", "01-32", "01-00"]),
        st.sampled_from(
            [
                "",
                "T12:00",
                " 12:00:00",
                "T12:00:00.25",
                "T12:00:00.2500009",
                "T24:00",
                "T11:60",
                "T12:00:00.",
                "T1:00",
            ]
        ),
        st.sampled_from(["", "Z", "z", "+01:00", "-23:59", "+24:00", "+0100", " "]),
    ),
)
words = st.sampled_from(
    ["", "a", "A", "b", "pro", "Pro", "5", "05", "-1", "0.5", "1e3", " 5", "true", "false", "null", "é", "Z"]
)
scalars = st.one_of(st.none(), st.booleans(), numbers, words, clean_text, times)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([*KEYS, "city", "0"]), inner, max_size=3)
    ),
    max_leaves=6,
)
attributes = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
paths = st.sampled_from(
    [*KEYS, "address.city", "address.plan", "address.address.city", "tags.city", "nothing"]
)
durations = st.sampled_from(["0d", "1d", "12h", "30d", "90s", "2w", "1000000d", "0.5d"])
ordering = st.sampled_from(["$lt", "$lte", "$gt", "$gte"])
bounds = st.one_of(numbers, words, clean_text)
operators = st.recursive(
    st.one_of(
        st.tuples(ordering, bounds),
        st.tuples(st.sampled_from(["$eq", "$ne"]), scalars),
        st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(scalars, max_size=4)),
        st.tuples(st.just("$exists"), st.booleans()),
        st.tuples(st.sampled_from(["$olderThan", "$newerThan"]), durations),
        st.tuples(
            st.just("$size"), st.integers(0, 4) | st.builds(lambda o, n: {o: n}, ordering, st.integers(0, 4))
        ),
        st.tuples(st.just("$all"), st.lists(st.sampled_from(["a", "pro", "é", "A"]), max_size=3)),
    ).map(lambda pair: dict([pair])),
    lambda inner: st.one_of(
        inner.map(lambda one: {"$not": one}), st.tuples(inner, inner).map(lambda both: both[0] | both[1])
    ),
    max_leaves=3,
)
clauses = st.builds(lambda path, test: {path: test}, paths, operators | scalars)


def combined(parts, *, leaves=5):
    """Conditions joined by every kind of logic."""
    return st.recursive(
        parts,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["$and", "$or", "$nor"]), st.lists(inner, max_size=3)).map(
                lambda p: dict([p])
            ),
            inner.map(lambda one: {"$not": one}),
            st.tuples(inner, inner).map(lambda both: both[0] | both[1]),
        ),
        max_leaves=leaves,
    )


conditions = combined(clauses)
beyond_sql = st.sampled_from(
    [
        {"plan": {"$regex": "^p"}},
        {"tags": {"$elemMatch": {"$gt": 1}}},
        {"plan": {"$vgte": "1.0.0"}},
        {"tags": ["a"]},
    ]
)

times_done = st.integers(0, 3)
counts = st.one_of(
    times_done,
    st.tuples(st.sampled_from(["$eq", "$ne", "$lt", "$lte", "$gt", "$gte"]), times_done).map(
        lambda p: dict([p])
    ),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(times_done, max_size=3)).map(lambda p: dict([p])),
    st.builds(lambda low, high: {"$gte": low, "$lt": high}, times_done, times_done),
)
windows = st.sampled_from(["0d", "1s", "1d", "30d", "12h", "4w", "1000000d"])
event_clauses = st.builds(
    lambda name, optional: {"$event": {"name": name} | optional},
    st.sampled_from(EVENTS),
    st.fixed_dictionaries(
        {},
        optional={
            "within": windows,
            "count": counts,
            "properties": st.just({}) | combined(clauses, leaves=2),
        },
    ),
)
segment_clauses = st.one_of(
    st.sampled_from(LISTS), st.lists(st.sampled_from(LISTS), min_size=1, max_size=3)
).map(lambda keys: {"$inSegment": keys})
# Ages at, just before and just after the edge of every window above, and events that have not happened yet.
ages = st.builds(
    lambda days, micros: timedelta(days=days, microseconds=micros),
    st.sampled_from([0, 0.5, 1, 28, 30, 31]) | st.just(1 / 86_400),
    st.sampled_from([-1, 0, 1, -5_000_000]),
)
occurrences = st.builds(lambda age, properties: Occurrence(NOW - age, properties), ages, attributes)
histories = st.dictionaries(st.sampled_from(EVENTS), st.lists(occurrences, max_size=3))
memberships = st.sets(st.sampled_from(LISTS))

# Everything beyond what SQL can say, to any depth: for the forms that must take the whole language.
odd_names = st.sampled_from(
    [
        "and",
        "it",
        "length of",
        "a`b",
        'say "x"',
        "é.städte",
        "orders.0.total",
        "not",
        "1st",
        "a\\",
        "x-y",
        "version",
    ]
)
every_path = paths | odd_names
patterns = st.sampled_from(["^p", "a/b", r"a\/b", r"\d+$", "a\nb", r"[/]", "", "é|Ü", r"\\"])
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y z", "it"]), inner, max_size=2)
    ),
    max_leaves=4,
)
one_more_test = st.one_of(
    st.tuples(st.sampled_from(["$regex", "$regexi", "$notRegex", "$notRegexi"]), patterns),
    st.tuples(
        st.sampled_from(["$veq", "$vne", "$vgt", "$vgte", "$vlt", "$vlte"]),
        st.sampled_from(["1.2.3", "v2-rc.1", 3]),
    ),
    st.tuples(st.sampled_from(["$ini", "$nini"]), st.lists(scalars, max_size=3)),
    st.tuples(st.just("$type"), st.sampled_from(["string", "number", "boolean", "array", "object", "null"])),
).map(lambda pair: dict([pair]))
no_operators = documents.filter(lambda value: value != {})
every_test = st.recursive(
    operators | one_more_test,
    lambda inner: st.one_of(
        (inner | no_operators).map(lambda one: {"$not": one}),
        st.tuples(inner, inner).map(lambda both: both[0] | both[1]),
        inner.map(lambda one: {"$size": one}),
        inner.map(lambda one: {"$elemMatch": one}),
        st.dictionaries(every_path, inner | scalars, min_size=1, max_size=2).map(
            lambda one: {"$elemMatch": one}
        ),
        st.builds(
            lambda word, path, one: {"$elemMatch": {word: [{path: one}, {"$not": {path: one}}]}},
            st.sampled_from(["$and", "$or", "$nor"]),
            every_path,
            inner,
        ),
        # By itself `$not` would be a test of the entry, not of its fields.
        st.builds(
            lambda path, one: {"$elemMatch": {"$and": [{"$not": {path: one}}]}}, every_path, inner | scalars
        ),
        st.builds(
            lambda name, entries: {name: entries},
            st.sampled_from(["$all", "$alli"]),
            st.lists(inner | documents, max_size=3),
        ),
    ),
    max_leaves=4,
)
everything = combined(
    st.builds(lambda path, test: {path: test}, every_path, every_test | documents)
    | event_clauses
    | segment_clauses,
    leaves=6,
)
