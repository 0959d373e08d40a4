"""From users, assignments, events and messages to sufficient statistics per variant, in SQL: rows never travel to Python.

Lives here: `facts.py` (collects all facts of a look), `*_facts.py` (the queries: arms, events, outcomes, properties, compliance, slices, epochs),
`fact_tables.py` (which tables they read), `engines.py` (where the SQL runs: the database, DuckDB or Spark).
May import: `stats/`, `warehouse/`, `inputs.py`, the tables of the floors below. Start reading: `facts.py`.
"""
