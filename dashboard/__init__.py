"""What people see: a Streamlit dashboard over the HTTP API, and nothing else.

Lives here: `app.py` (arguments, sign-in, navigation), `access.py` (who is signed in), `client.py` (the HTTP client),
`documents.py` and `reading.py` (its answers as values), `verdicts.py` and `formats.py` (values as words), `charts.py`,
`views/` (one file a page or a part of one), `.streamlit/config.toml`.
May import: `api.schemas` only.
Start reading: `app.py`, then `views/result.py`.
"""
