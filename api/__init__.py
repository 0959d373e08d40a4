"""Every way in: web, command line, worker; the one place that wires things together.

Lives here: `app.py` (FastAPI), `wiring.py` (the composition root), `dependencies.py`, `schemas.py`, `errors.py`
(HTTP is said once), `security.py` (API keys), `members.py` and `id_tokens.py` (accounts), `routes/`, `worker.py` (APScheduler), `cli.py`, `migrations/`.
May import: every floor below; the dashboard imports only `api.schemas`.
Start reading: `wiring.py`, then one file of `routes/`.
"""
