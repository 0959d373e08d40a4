"""The many rows of a large installation, made by SQL inside SQLite: no row of them passes through Python."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

DAY: Final = 86_400_000_000
"""Microseconds."""
EVENTS: Final = ("Order Completed", "Product Viewed", "App Opened", "Cart Updated", "Searched", "opted_out")
_COUNTRIES: Final = ("NL", "BR", "DE", "FR", "ES", "IT", "PL", "US", "GB", "IN")
_ZONES: Final = ("Europe/Amsterdam", "America/Sao_Paulo", "Europe/Berlin", "Asia/Kolkata")
STORY_USER: Final = 7
"""The user (by our own id) whose story is long: he has hundreds of events more than others."""
STORY_EVENTS: Final = 500


def _mixed(of: str, salt: int, below: int) -> str:
    """A number from 0 to `below` - 1 that looks drawn, by a multiplicative hash (Knuth, TAOCP 3, 6.4)."""
    return f"((({of} + {salt}) * 2654435761) / 65536 % {below})"


def _pick(of: str, values: Sequence[str]) -> str:
    """One of some words, by a number."""
    cases = " ".join(f"WHEN {i} THEN '{value}'" for i, value in enumerate(values))
    return f"CASE ({of}) % {len(values)} {cases} END"


def number(connection: sqlite3.Connection, upto: int) -> None:
    """A table of the numbers 1 to `upto`."""
    connection.execute("CREATE TEMP TABLE numbers (i INTEGER PRIMARY KEY)")
    connection.execute(
        "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n",
        (upto,),
    )


def add_people(connection: sqlite3.Connection, users: int, *, now: int) -> None:
    """Users 1 to `users` with eleven attributes, nine in ten with consent; their phones have a country code that no country has."""
    plan = f"CASE WHEN {_mixed('i', 3, 1000)} < 30 THEN 'team' ELSE 'free' END"
    ordered = (
        f"strftime('%Y-%m-%dT%H:%M:%SZ', {now // 1_000_000} - {_mixed('i', 5, 720)} * 86400, 'unixepoch')"
    )
    attributes = f"""json_object(
        'first_name', {_pick(_mixed("i", 11, 4), ("Ann", "Bo", "Cem", "Dee"))}, 'country', {_pick(_mixed("i", 1, 10), _COUNTRIES)},
        'city', 'city-' || {_mixed("i", 2, 2000)}, 'age', 16 + {_mixed("i", 4, 74)}, 'plan', {plan}, 'last_order_at', {ordered},
        'app_version', '2.' || {_mixed("i", 6, 30)} || '.0', 'vip', json(CASE i % 50 WHEN 0 THEN 'true' ELSE 'false' END),
        'orders', {_mixed("i", 8, 40)}, 'spent', {_mixed("i", 9, 90000)} / 100.0, 'tags', json('["newsletter"]'))"""
    connection.execute(
        f"""INSERT INTO users (id, user_id, phone, time_zone, locale, attributes, created_at, updated_at, last_seen_at)
        SELECT i, printf('u%07d', i), printf('+999%08d', i), {_pick("i", _ZONES)}, 'en_US', {attributes},
               {now - 400 * DAY} + i, {now - 60 * DAY}, {now} - {_mixed("i", 7, 5_000_000)} * 1000000
        FROM numbers WHERE i <= ?""",
        (users,),
    )
    columns = f"SELECT i, 'marketing', i % 20 <> 1, {now - 390 * DAY}"
    connection.execute(
        f"INSERT INTO consents (user_pk, category, granted, changed_at) {columns} FROM numbers WHERE i <= ? AND i % 10",
        (users,),
    )
    connection.execute(
        "INSERT INTO consent_records (user_pk, category, granted, at, source, evidence) "
        f"{columns}, 'import', '' FROM numbers WHERE i <= ? AND i % 10",
        (users,),
    )


def add_assignments(
    connection: sqlite3.Connection,
    *,
    experiment: int,
    users: int,
    of: int,
    variants: Sequence[str],
    began: int,
    lasted: int,
    epochs: int = 1,
) -> None:
    """`users` of the `of` users take part in an experiment of three variants; they came one by one, `lasted` microseconds in all.

    Of several epochs every second one gives half of its users to the last variant, the others to the first. Rows of `epochs` follow.
    """
    epoch = f"1 + (i - 1) * {epochs} / :users"
    first, second, third = variants
    uneven = [(first, second, third, third), (first, first, second, third)]
    variant = _pick("i", variants)
    if epochs > 1:
        variant = f"CASE WHEN epoch % 2 THEN {_pick('i', uneven[0])} ELSE {_pick('i', uneven[1])} END"
    propensity = (
        f"CASE {variant} WHEN CASE epoch % 2 WHEN 1 THEN '{third}' ELSE '{first}' END THEN 0.5 ELSE 0.25 END"
    )
    connection.execute(
        f"""INSERT INTO assignments (experiment_id, user_pk, variant, epoch, propensity, assigned_at, planned_at, occasions)
        SELECT :experiment, pk, {variant}, epoch, {propensity if epochs > 1 else 1 / 3}, at, at, 1
        FROM (SELECT i, {epoch} AS epoch, 1 + (i + :experiment * 7919) % :of AS pk, :began + i * :lasted / :users AS at
              FROM numbers WHERE i <= :users) ORDER BY pk""",
        {"experiment": experiment, "users": users, "of": of, "began": began, "lasted": lasted},
    )
    if epochs > 1:
        weights = [{key: keys.count(key) / 4 for key in variants} for keys in uneven]
        connection.execute("DELETE FROM epochs WHERE experiment_id = ?", (experiment,))
        connection.executemany(
            "INSERT INTO epochs (experiment_id, number, weights, opened_at, closed_at, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    experiment,
                    k,
                    json.dumps(weights[(k - 1) % 2]),
                    began + (k - 1) * lasted // epochs,
                    began + k * lasted // epochs if k < epochs else None,
                    "bandit: P(best for bought) is 0.62 for coupon, 0.3 for reminder, 0.08 for hello",
                )
                for k in range(1, epochs + 1)
            ),
        )


def add_messages(connection: sqlite3.Connection, *, now: int, live: Sequence[int]) -> None:
    """One message for each assignment, in every state. `live`: experiments of which a part is still to go out."""
    living = f"a.experiment_id IN ({', '.join(map(str, live)) or 'NULL'})"
    fate = _mixed("a.id", 17, 100)
    connection.execute(
        f"""INSERT INTO messages (experiment_id, user_pk, variant, step, category, priority, state, reason, error_code,
            first_due_at, due_at, language, tries, slot_at, wamid, accepted_at, sent_at, delivered_at, read_at, failed_at, clicked_at)
        SELECT experiment_id, user_pk, variant, 0, 'marketing', 0, state,
            CASE state WHEN 'suppressed' THEN {_pick("id", ("cap", "consent", "no_phone"))} WHEN 'failed' THEN 'never_for_person' END,
            CASE state WHEN 'failed' THEN 131026 END, due, due, 'en_US', reached + (state = 'failed'),
            CASE WHEN reached THEN due + 1000000 END, CASE WHEN reached THEN printf('wamid.%09d', id) END,
            CASE WHEN reached THEN due + 2000000 END, CASE WHEN reached AND state <> 'accepted' THEN due + 3000000 END,
            CASE WHEN state IN ('delivered', 'read') THEN due + 9000000 END, CASE state WHEN 'read' THEN due + 900000000 END,
            CASE state WHEN 'failed' THEN due + 2000000 END, CASE WHEN state = 'read' AND id % 9 = 0 THEN due + 960000000 END
        FROM (SELECT *, state IN ('accepted', 'sent', 'delivered', 'read') AS reached FROM (
            SELECT a.id, a.experiment_id, a.user_pk, a.variant,
                CASE WHEN {fate} >= 98 AND {living} THEN {now} + ({fate} - 98) * {DAY // 2} - 600000000 ELSE a.assigned_at + 60000000 END AS due,
                CASE WHEN {fate} < 48 THEN 'read' WHEN {fate} < 78 THEN 'delivered' WHEN {fate} < 90 THEN 'sent' WHEN {fate} < 94 THEN 'accepted'
                     WHEN {fate} < 96 THEN 'failed' WHEN {fate} >= 98 AND {living} THEN 'planned' ELSE 'suppressed' END AS state
            FROM assignments a ORDER BY a.id))"""
    )


def add_events(connection: sqlite3.Connection, *, users: int, now: int) -> None:
    """Two events for each user on average over ninety days, and some hundred more for one of them."""
    row = """INSERT INTO events (message_id, user_pk, name, at, received_at, properties)
        SELECT 'm' || printf('%09d', i), {pk}, {name}, {now} - {ago}, {now} - {ago},
               json_object('revenue', {money} / 100.0, 'items', 1 + i % 5) FROM numbers WHERE i {bound}"""
    name = _pick(f"min(5, {_mixed('i', 21, 500)} / 92)", EVENTS)
    ago, money = f"{_mixed('i', 22, 90 * 86_400)} * 1000000", _mixed("i", 23, 20_000)
    pk = f"1 + {_mixed('i', 24, users)}"
    connection.execute(
        row.format(pk=pk, name=name, ago=ago, money=money, now=now, bound="<= ?"), (2 * users,)
    )
    story = row.replace("'m' ||", "'story' ||")
    connection.execute(
        story.format(pk=STORY_USER, name=name, ago=ago, money=money, now=now, bound="<= ?"), (STORY_EVENTS,)
    )


def add_delivery(connection: sqlite3.Connection, *, now: int, experiments: Sequence[int]) -> None:
    """Our number, a worker, the books as last checked, how far audiences were walked, and webhooks that were read long ago."""
    connection.execute(
        "INSERT INTO number_states (number, display, quality, quality_at, unique_users, unique_users_at, status, status_at) "
        "VALUES ('1', '+99900000000', 'GREEN', :now, 2000000, :now, 'CONNECTED', :now)",
        {"now": now},
    )
    connection.execute("INSERT INTO workers VALUES ('worker-1', '1', :now, :now + 3600000000)", {"now": now})
    for experiment in experiments:
        asked = {"experiment": experiment, "now": now}
        connection.execute(
            "INSERT INTO balances (experiment_id, checked_at, slots, messages, seconds) "
            "SELECT :experiment, :now, count(*), count(*), 0.1 FROM messages WHERE experiment_id = :experiment",
            asked,
        )
        connection.execute(
            "INSERT INTO enrolments (experiment_id, last_user_pk, counts, started_at, finished_at) "
            "SELECT :experiment, (SELECT max(id) FROM users), json_object('assigned', count(*), "
            "'excluded', json_object('consent', count(*) / 9, 'cap', count(*) / 50)), min(assigned_at), max(assigned_at) "
            "FROM assignments WHERE experiment_id = :experiment",
            asked,
        )
    connection.execute(
        "INSERT INTO webhook_bodies (body, received_at, projected_at) "
        'SELECT CAST(\'{"object":"whatsapp_business_account"}\' AS BLOB), :now - i, :now - i FROM numbers '
        "WHERE i <= (SELECT count(*) / 20 FROM messages)",
        {"now": now},
    )


def add_audit(connection: sqlite3.Connection, entries: int, *, now: int, keys: Sequence[str]) -> None:
    """What people changed, mostly about experiments."""
    after = json.dumps({"reason": "as planned", "weights": {"reminder": 0.5, "coupon": 0.5}})
    connection.execute(
        f"""INSERT INTO audit_entries (at, actor, action, subject_kind, subject_key, "before", "after")
        SELECT {now - 90 * DAY} + i * ({90 * DAY} / :entries), {_pick("i", ("ada", "bo", "bandit", "import"))}, 'experiment.weights',
               'experiment', {_pick("i", keys)}, NULL, :after FROM numbers WHERE i <= :entries""",
        {"entries": entries, "after": after},
    )


def add_members(connection: sqlite3.Connection, *, of_each: int, users: int, now: int) -> None:
    """Every so-many-th user is a member of the first two segments, as their last refresh found them."""
    asked = {"of_each": of_each, "users": users, "now": now}
    connection.execute(
        "INSERT INTO segment_members (segment_id, user_pk, added_at) "
        "SELECT s.id, i, :now FROM segments s, numbers WHERE s.id < 3 AND i <= :users AND i % :of_each = 0 ORDER BY s.id, i",
        asked,
    )
    connection.execute(
        "UPDATE segments SET refreshed_at = :now, size = :users / :of_each WHERE id < 3", asked
    )


def add_firings(connection: sqlite3.Connection, *, rule: int, firings: int, now: int) -> None:
    """A rule fired so often, once for each user."""
    connection.execute(
        """INSERT INTO rule_firings (rule_id, version, user_pk, cause, at, outcome)
        SELECT :rule, 1, i, 'event:' || i, :now - (:firings - i) * 1000000, '{"actions": []}' FROM numbers WHERE i <= :firings""",
        {"rule": rule, "firings": firings, "now": now},
    )


def repeat_experiment(connection: sqlite3.Connection, source: int, *, key: str) -> int:
    """One more experiment like `source`, with its epochs; returns its id."""
    kept = "status, priority, created_at, updated_at, started_at, stopped_at, held_at, silenced, stopped_arms, released, shipped, shipped_at"
    made = connection.execute(
        f"""INSERT INTO experiments (key, name, definition, {kept})
        SELECT :key, :name, json_set(definition, '$.key', :key, '$.name', :name), {kept} FROM experiments WHERE id = :source""",
        {"source": source, "key": key, "name": key.capitalize().replace("-", " campaign ")},
    ).lastrowid
    connection.execute(
        "INSERT INTO epochs (experiment_id, number, weights, opened_at, closed_at, reason) "
        "SELECT ?, number, weights, opened_at, closed_at, reason FROM epochs WHERE experiment_id = ?",
        (made, source),
    )
    return made or 0


def repeat_segments(connection: sqlite3.Connection, *, upto: int) -> None:
    """More segments like the second one."""
    connection.execute(
        """INSERT INTO segments (key, name, condition, created_at, updated_at)
        SELECT 'segment-' || i, 'Segment ' || i, condition, created_at, updated_at FROM segments, numbers
        WHERE segments.id = 2 AND i BETWEEN 2 AND ?""",
        (upto,),
    )


def repeat_rules(connection: sqlite3.Connection, *, upto: int) -> None:
    """More rules like the first one, every second of them switched off, each with its first version."""
    connection.execute(
        """INSERT INTO rules (key, name, enabled, version, definition, created_at, updated_at, waits_for, walked_to_pk)
        SELECT 'rule-' || i, 'Rule ' || i, i % 2, 1, json_set(definition, '$.key', 'rule-' || i, '$.name', 'Rule ' || i),
               created_at, updated_at, CASE WHEN i % 2 THEN waits_for END, 0 FROM rules, numbers WHERE rules.id = 1 AND i BETWEEN 2 AND ?""",
        (upto,),
    )
    connection.execute(
        "INSERT INTO rule_versions (rule_id, version, definition, actor, at) "
        "SELECT id, 1, definition, 'benchmark', created_at FROM rules WHERE id > 1"
    )


def repeat_import(connection: sqlite3.Connection, *, days: int) -> None:
    """The import that there is, once a day before."""
    connection.execute(
        """INSERT INTO import_runs (source, actor, started_at, finished_at, summary, quality, error)
        SELECT source, actor, started_at - i * :day, finished_at - i * :day, summary, quality, error FROM import_runs, numbers
        WHERE i <= :days ORDER BY i DESC""",
        {"day": DAY, "days": days},
    )


def repeat_slot(connection: sqlite3.Connection, *, source: int, experiment: int, slots: int) -> None:
    """The bandit's slot with the id `source` once more for each slot of an experiment but its last, a day apart."""
    connection.execute(
        """INSERT INTO reallocations (experiment_id, slot, at, outcome, reason, epoch, numbers)
        SELECT :experiment, i, at - (:slots - i) * :day, outcome, reason, i + 1, numbers FROM reallocations, numbers
        WHERE reallocations.id = :source AND i < :slots ORDER BY i""",
        {"source": source, "experiment": experiment, "slots": slots, "day": DAY},
    )


def add_reports(
    connection: sqlite3.Connection,
    *,
    experiment: int,
    looks: int,
    last: int,
    every: int,
    documents: Sequence[str],
) -> None:
    """So many looks at an experiment, `every` microseconds apart up to `last`; `documents`: body, inputs, hashes, made_with."""
    connection.execute(
        "INSERT INTO reports (experiment_id, as_of, information, body, inputs, hashes, made_with) "
        "SELECT ?, ? - (? - i) * ?, i * 1.0 / ?, ?, ?, ?, ? FROM numbers WHERE i <= ? ORDER BY i",
        (experiment, last, looks, every, looks, *documents, looks),
    )
