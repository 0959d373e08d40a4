"""What happened: facts -> sufficient statistics -> pure statistics -> decision -> report.

Lives here, from the ground up: `stats/` (pure mathematics), `warehouse/` (copies of the tables in files, on DuckDB and Spark), `facts/` (SQL
that aggregates in the database), `verdicts/` (pairs of arms, families, health, decision), `reports/` (kept, replayed, shown),
`bandits/` (traffic that follows the results, variants stopped for harm), `files/` (the same for a CSV or Parquet file), `planning/` (before the start), `certification/` (do the statistics hold on these data).
On the floor itself: `inputs.py` (what a report is made from) and `findings.py` (what a report says), which all rooms share.
May import: delivery, targeting, experiments. `stats/` imports none of our code and does no I/O.
Start reading: `verdicts/report.py`.
"""
