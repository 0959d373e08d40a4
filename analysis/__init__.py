"""What happened: facts -> sufficient statistics -> pure statistics -> decision -> report.

Lives here: `facts.py` (SQL that aggregates in the database), `engines.py` (where that SQL runs), `stats/` (pure
mathematics), `health.py`, `decision.py`, `report.py` (puts them together), `files.py` (the same for a CSV or Parquet file).
May import: delivery, targeting, experiments. `stats/` imports none of our code and does no I/O.
Start reading: `report.py`.
"""
