"""Pulls: a query of another database, run on a schedule, whose rows become users by the same path as a file's.

`definitions.py` (what a pull is), `service.py` (put, list, delete, ask for a run), `runs.py` (runs what is due), `hold.py` (one
worker at a time; the cursor moves with the rows), `query_repository.py` (the other database, read only).
May import: `targeting.imports`. Start reading: `runs.py`.
"""
