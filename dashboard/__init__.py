"""What people see: a Streamlit dashboard over the HTTP API, and nothing else.

Lives here: `app.py` (arguments, sign-in), `pages.py` (every page and its address), `access.py` (who is signed in), `account.py` (Streamlit's login), `viewer.py`
(their language and zone), `texts.py` over `catalogue/` (every word of the interface), `client.py` and `calls/` (what is asked of
the API), `documents.py` and `reading.py` (its answers as values), `verdicts.py` and `formats.py` (values as words), `charts.py`,
`views/` (one file a page or a part of one), `.streamlit/config.toml`.
May import: `api.schemas` only.
Start reading: `app.py`, then `views/result.py`.
"""
