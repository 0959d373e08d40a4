"""The web application: routes, errors, bounds. `create_app(wiring)` is all there is to make one."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from api import errors, openapi
from api.cors import CorsOnDoors
from api.intake import Shortcut
from api.routes import (
    allocation,
    attributes,
    conditions,
    delivery,
    drafts,
    evaluation,
    events,
    experiments,
    imports,
    library,
    members,
    ops,
    overview,
    planning,
    policy,
    pulls,
    reports,
    rules,
    segments,
    templates,
    tracking,
    users,
    whatsapp,
)
from api.wiring import Wiring

DESCRIPTION = """\
Messaging campaigns on WhatsApp, run as honest experiments.

* **Management** (`/v1/experiments`, `/v1/users` ..): `Authorization: Bearer KEY`; scopes read, write, admin.
* **Tracking** (`/v1/track`, `/v1/identify`, `/v1/batch`): Segment's HTTP API; Basic auth, a key with the scope ingest as user name.
* **Evaluation** (`/ofrep/v1/evaluate/flags`, `/api/features`): OpenFeature and GrowthBook SDKs; a key with the scope evaluate.
* Errors are RFC 9457 problem documents that name the field. Lists are paged by cursor. Writes take `Idempotency-Key`.
"""


class Application(FastAPI):
    """FastAPI, except that every error is a problem document, and that the OpenAPI document says so."""

    def build_middleware_stack(self) -> ASGIApp:
        """Everything, and around it what the framework would say outside of it."""
        whole = errors.ProblemWhenTooLarge(super().build_middleware_stack())
        return Shortcut(whole, [*tracking.router.routes, *whatsapp.intake_router.routes])

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        is_new = self.openapi_schema is None
        document = super().openapi()
        if is_new:
            openapi.complete(document)
        return document


def create_app(wiring: Wiring) -> FastAPI:
    """The API over this wiring. Nothing runs in the background: see `worker.py` for that."""
    app = Application(
        title="Touchstone",
        version=version("touchstone"),
        description=DESCRIPTION,
        max_body_size=wiring.settings.max_body_bytes,
    )
    app.state.wiring = wiring
    errors.install(app)
    app.add_middleware(CorsOnDoors, origins=wiring.settings.cors_origins)
    # Before the users: an id may hold slashes, so that what is in front decides.
    app.include_router(segments.tags_router)
    for module in (
        tracking,
        whatsapp,
        experiments,
        allocation,
        reports,
        users,
        library,
        ops,
        overview,
        segments,
        attributes,
        events,
        pulls,
        rules,
        policy,
    ):
        app.include_router(module.router)
    app.include_router(whatsapp.intake_router, max_body_size=whatsapp.MAX_BODY)
    app.include_router(conditions.router)
    app.include_router(drafts.router)
    app.include_router(planning.router)
    app.include_router(delivery.router)
    app.include_router(templates.router)
    app.include_router(evaluation.router)
    app.include_router(evaluation.features_router)
    app.include_router(library.keys_router)
    app.include_router(members.router)
    app.include_router(members.sessions_router)
    app.include_router(users.lookup_router)
    app.include_router(segments.uploads_router, max_body_size=wiring.settings.max_upload_bytes)
    app.include_router(imports.router, max_body_size=wiring.settings.max_upload_bytes)
    return app
