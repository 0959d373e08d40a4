"""What happened: facts -> sufficient statistics -> pure statistics -> decision -> report.

Lives here: `facts.py` and `*_facts.py` (SQL that aggregates in the database), `engines.py` (where that SQL runs), `inputs.py` (what a report is
made from), `stats/` (pure mathematics), `compare.py` and `effects.py` (pairs of arms, families of comparisons), `health.py`,
`decision.py`, `report.py` (puts them together, into `findings.py`), `service.py` (looks and stored reports), `files.py` (the same
for a CSV or Parquet file), `report_text.py` (for a terminal).
May import: delivery, targeting, experiments. `stats/` imports none of our code and does no I/O.
Start reading: `report.py`.
"""
