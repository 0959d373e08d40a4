"""What happened: facts -> sufficient statistics -> pure statistics -> decision -> report.

Lives here: `facts.py` and `*_facts.py` (SQL that aggregates in the database), `engines.py` (where that SQL runs),
`warehouse/` (copies of the tables in files, on DuckDB and Spark), `copies.py` (what a report allows for then), `inputs.py` (what a report is
made from), `stats/` (pure mathematics), `compare.py` and `effects.py` (pairs of arms, families of comparisons), `crossing.py`
(by factor), `segment_effects.py` (by slice of the users, with `segment_findings.py`, `segment_reports.py`, `segment_text.py`), `compliers.py` (per user reached), `health.py`, `progress.py` (power so far), `decision.py`, `report.py` (puts them together, into `findings.py`), `service.py` (looks and stored reports), `files.py` (the same
for a CSV or Parquet file). Kept reports: `evidence.py` (what one was made from, hashed), `replay.py`, `history.py` (lists, effects over time), over
`canonical.py` and `dataclass_json.py`. Shown: `report_text.py` (terminal), `report_html.py` (page; words, pictures, `pages/`), `report_csv.py`.
Plans before the start: `planning.py` (over the users there are, with the `plan_*.py` beside it and the SQL of `planning_facts.py`),
`sizing.py` (without data), `plan_text.py`.
Do the statistics hold on these data: `certify.py` over `rerandomise.py` and `calibration.py`; `certify_sources.py`.
May import: delivery, targeting, experiments. `stats/` imports none of our code and does no I/O.
Start reading: `report.py`.
"""
