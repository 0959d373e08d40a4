"""`/simulator/..`: to set the world up, to make things happen in it, and to look at it."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from delivery.simulator.engine import Engine
from delivery.simulator.ledger import LONGEST_PAGE
from delivery.simulator.loading import read_templates, read_world
from delivery.simulator.notices import Notice, account, capability, number_limit
from delivery.simulator.number import tier_name
from delivery.simulator.registry import QUALITIES
from delivery.simulator.registry_changes import change_template
from delivery.simulator.registry_reading import one_of
from experiments.clock import format_moment, parse_duration, parse_moment, to_micros
from experiments.errors import Invalid, NotFound

DEFAULT_PAGE: Final = 1000


def control_routes(engine: Engine) -> list[BaseRoute]:
    """The routes, acting on one engine."""
    control = _Control(engine)
    acts = {
        "world": control.world,
        "begin": control.begin,
        "slow": control.slow,
        "reset": control.reset,
        "hold": control.hold,
        "release": control.release,
        "say": control.say,
        "templates/{name}": control.templates,
        "number": control.number,
        "webhooks": control.webhooks,
        "refuse": control.refuse,
    }
    looks = {"truth": control.truth, "status": control.status, "ledger": control.ledger}
    return [
        *(Route(f"/simulator/{path}", act, methods=["POST"]) for path, act in acts.items()),
        *(Route(f"/simulator/{path}", look) for path, look in looks.items()),
    ]


class _Control:
    """One method for each route."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def world(self, request: Request) -> Response:
        document = await _json(request)
        config = self.engine.config
        loaded = await self.engine.load(
            lambda: (read_world(document, config), read_templates(document, config))
        )
        names = {*loaded.templates, *(template.name for template in self.engine.registry)}
        return JSONResponse({"people": len(loaded.people), "templates": sorted(names)})

    async def begin(self, request: Request) -> Response:
        document = await _json(request)
        return JSONResponse({"visitors": self.engine.begin(_at(self.engine, document), _window(document))})

    async def slow(self, request: Request) -> Response:
        moment = _at(self.engine, await _json(request))
        self.engine.slow_down(moment)
        return JSONResponse({"at": format_moment(moment)})

    async def truth(self, _: Request) -> Response:
        return JSONResponse(self.engine.world.truth())

    async def status(self, _: Request) -> Response:
        return JSONResponse(self.engine.status())

    async def reset(self, _: Request) -> Response:
        await self.engine.reset()
        return JSONResponse(self.engine.status())

    async def hold(self, _: Request) -> Response:
        self.engine.hold()
        return JSONResponse(self.engine.status())

    async def release(self, _: Request) -> Response:
        self.engine.release()
        return JSONResponse(self.engine.status())

    async def ledger(self, request: Request) -> Response:
        after = _whole(request, "after", 0, most=None)
        limit = max(1, _whole(request, "limit", DEFAULT_PAGE, most=LONGEST_PAGE))
        return JSONResponse(self.engine.desk.ledger.page(after, limit))

    async def say(self, request: Request) -> Response:
        return JSONResponse({"id": self.engine.say(await _json(request))})

    async def templates(self, request: Request) -> Response:
        document = await _json(request)
        name, now = request.path_params["name"], to_micros(self.engine.clock.now())
        chosen = self.engine.registry.named(name)
        if not chosen:
            raise NotFound(f"there is no template {name}", field="name")
        language = document.pop("language", None)
        chosen = [template for template in chosen if language in (None, template.language)]
        if not chosen:
            raise NotFound(f"there is no template {name} in {language}", field="language")
        self.engine.tell(
            [notice for template in chosen for notice in change_template(template, document, now)]
        )
        return JSONResponse({"data": [template.node() for template in chosen]})

    async def number(self, request: Request) -> Response:
        document = await _json(request)
        self.engine.tell(_change_number(self.engine, document))
        return JSONResponse(self.engine.number.node("quality_rating,messaging_limit_tier,throughput"))

    async def webhooks(self, request: Request) -> Response:
        notice = _notice(self.engine, await _json(request))
        self.engine.tell([notice])
        return JSONResponse({"field": notice.field, "value": notice.value})

    async def refuse(self, request: Request) -> Response:
        seconds = (await _json(request)).get("seconds", 1.0)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= 600:
            raise Invalid("must be a number above 0, at most 600", field="seconds")
        self.engine.door.close_soon(float(seconds))
        return JSONResponse({"seconds": seconds})


def _change_number(engine: Engine, document: dict[str, Any]) -> list[Notice]:
    """`{"quality_rating"?, "tier"?}`: a new rating, a new limit of unique people (null: none)."""
    unknown = sorted(set(document) - {"quality_rating", "tier"})
    if unknown:
        raise Invalid("is not known", field=unknown[0])
    at, notices = to_micros(engine.clock.now()) // 1_000_000, []
    tier = document.get("tier")
    if tier is not None and (isinstance(tier, bool) or not isinstance(tier, int) or tier < 1):
        raise Invalid("must be a whole number of at least 1, or null", field="tier")
    if "quality_rating" in document:
        rating = one_of(document["quality_rating"], QUALITIES, "quality_rating")
        notices += engine.number.rate(rating, at)
    if "tier" in document:
        notices += engine.number.move(tier, at)
        engine.desk.people.most = tier
    return notices


def _notice(engine: Engine, document: dict[str, Any]) -> Notice:
    """`{"field": .., "value"?: {..}, "event"?: ..}`: without a value one of the kinds that are known by themselves."""
    field, value, event = document.get("field"), document.get("value"), document.get("event")
    if not isinstance(field, str) or not field:
        raise Invalid("must be a text", field="field")
    if event is not None and not isinstance(event, str):
        raise Invalid("must be a text", field="event")
    at, number = to_micros(engine.clock.now()) // 1_000_000, engine.number
    if value is not None:
        if not isinstance(value, dict):
            raise Invalid("must be an object", field="value")
        return Notice(field, value, at)
    display, tier = number.display_phone_number, tier_name(number.tier)
    ready: dict[str, Callable[[], Notice]] = {
        "phone_number_quality_update": lambda: number_limit(display, event or "FLAGGED", tier, tier, at),
        "business_capability_update": lambda: capability(number.tier, at),
        "account_update": lambda: account(display, event or "DISABLED_UPDATE", at),
    }
    if field not in ready:
        raise Invalid(f"must be there, or the field one of {', '.join(ready)}", field="value")
    return ready[field]()


def _whole(request: Request, name: str, default: int, *, most: int | None) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or (most is not None and int(text) > most):
        limit = "" if most is None else f" of at most {most}"
        raise Invalid(f"must be a whole number{limit}", field=name)
    return int(text)


def _at(engine: Engine, document: dict[str, Any]) -> datetime:
    at = document.get("at")
    try:
        return engine.clock.now() if at is None else parse_moment(str(at))
    except ValueError as error:
        raise Invalid(str(error), field="at") from error


def _window(document: dict[str, Any]) -> timedelta:
    window = document.get("window", "7d")
    try:
        return parse_duration(window) if isinstance(window, str) else timedelta(seconds=window)
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid("must be a duration such as 7d, or seconds", field="window") from error


async def _json(request: Request) -> dict[str, Any]:
    raw = await request.body()
    try:
        document = await asyncio.to_thread(json.loads, raw or b"{}")
    except (ValueError, RecursionError) as error:
        raise Invalid("the request body is not JSON") from error
    if not isinstance(document, dict):
        raise Invalid("the request body is not a JSON object")
    return document
