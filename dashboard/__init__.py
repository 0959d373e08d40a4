"""What people see: a Streamlit dashboard over the HTTP API, and nothing else.

Lives here: `app.py` (navigation, login), `client.py` (the HTTP client), `charts.py`, `views/` (one file a page).
May import: `api.schemas` only.
Start reading: `app.py`.
"""
