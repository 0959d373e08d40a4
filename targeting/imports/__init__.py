"""Data in: files of users become users, and the quality of the data is kept beside the last import's.

A file is a `source.py` (read by `rows.py` or `parquet.py`), a `mapping.py` says which column means what (written by people:
`mapping_document.py`), `cells.py` reads a row, `storing.py` stores a batch, `importing.py` runs the whole, `rehearsal.py`
runs it and takes it back. `quality*.py` watch the columns as they pass: sketches of bounded size, drift, a report with lights.
May import: users, consent, roster, rule triggers; the rest of targeting not. Start reading: `importing.py`.
"""
