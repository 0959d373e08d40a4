"""Facts away from the application database: a copy of four tables, in files or in a warehouse, asked in its own words.

Lives here: `tables.py` (which tables and columns a copy holds), `translation.py` (a query of `facts.py` in another engine's SQL),
`folder.py` (a folder of Parquet or CSV files, and what its manifest says), `duckdb_facts.py` and `spark_facts.py` (engines that
are asked), `address.py` (which engine a URL means), `export.py` and `export_repository.py` (how such a folder is made).
May import: targeting, delivery, experiments. `analysis.facts.engines` is above: it chooses between these and the database itself.
Start reading: `translation.py`.
"""
