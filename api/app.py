"""The web application: routes, errors, bounds. `create_app(wiring)` is all there is to make one."""

from importlib.metadata import version

from fastapi import FastAPI

from api import errors
from api.routes import experiments, imports, library, ops, tracking, users, whatsapp
from api.schemas import ProblemDocument
from api.wiring import Wiring

DESCRIPTION = """\
Messaging campaigns on WhatsApp, run as honest experiments.

* **Management** (`/v1/experiments`, `/v1/users` ..): `Authorization: Bearer KEY`; scopes read, write, admin.
* **Tracking** (`/v1/track`, `/v1/identify`, `/v1/batch`): Segment's HTTP API; Basic auth, a key with the scope ingest as user name.
* Errors are RFC 9457 problem documents that name the field. Lists are paged by cursor. Writes take `Idempotency-Key`.
"""


def create_app(wiring: Wiring) -> FastAPI:
    """The API over this wiring. Nothing runs in the background: see `worker.py` for that."""
    app = FastAPI(
        title="Touchstone",
        version=version("touchstone"),
        description=DESCRIPTION,
        max_body_size=wiring.settings.max_body_bytes,
        responses={"4XX": {"model": ProblemDocument, "description": "What is wrong, by field"}},
    )
    app.state.wiring = wiring
    errors.install(app)
    for module in (experiments, users, library, tracking, whatsapp, ops):
        app.include_router(module.router)
    app.include_router(library.keys_router)
    app.include_router(imports.router, max_body_size=wiring.settings.max_upload_bytes)
    return app
