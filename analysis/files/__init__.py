"""`touchstone analyze`: the same report for a CSV or Parquet file that somebody else made.

Lives here: `files.py` (from a file to a report), `file_metrics.py` (what `--metric` may say), `file_source.py` and `file_facts.py`
(the file in DuckDB, and the SQL over it).
May import: `stats/`, `verdicts/`, `reports/evidence.py`. Start reading: `files.py`.
"""
