"""WhatsApp's list of message templates: `GET /{version}/{account}/message_templates`, page by page.

The address of the next page is not followed as given: only its cursor is taken, so that the token goes nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from delivery.whatsapp.error_table import ErrorClass, classify
from experiments.errors import Invalid, Refused, TouchstoneError, Unavailable

FIELDS: Final = "id,name,language,status,category,quality_score,parameter_format,components"
PAGE: Final = 100
MAX_PAGES: Final = 200
"""Three times what an account may have (6,000 templates)."""

ACCOUNT: Final = "TOUCHSTONE_WHATSAPP_BUSINESS_ACCOUNT_ID"
_LONGEST: Final = {"name": 512, "language": 10, "status": 30, "category": 20}


@dataclass(frozen=True, slots=True)
class ListedTemplate:
    """One template in one language. `category` is in lower case as ours are, `status` and `quality` as WhatsApp writes them."""

    name: str
    language: str
    template_id: str | None
    category: str
    status: str
    quality: str | None
    parameter_format: str
    components: list[Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """All templates of an account; `unreadable` items had no name, language, status or category that fits."""

    templates: tuple[ListedTemplate, ...]
    unreadable: int


class TemplateApi:
    """Lists the templates of one account. `timeout` is in seconds and for each part of one page's exchange."""

    def __init__(
        self,
        *,
        base_url: str,
        version: str,
        account_id: str,
        token: str,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/{version}/{account_id}/message_templates"
        self._http = httpx.Client(
            transport=transport,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        self._http.close()

    def list_all(self) -> Listing:
        """Every template. Raises Unavailable when WhatsApp does not answer (again later), Refused when the token may not
        ask, Invalid when the account does not exist.
        """
        found: dict[tuple[str, str], ListedTemplate] = {}
        unreadable, after, seen = 0, None, set[str]()
        for _ in range(MAX_PAGES):
            body = self._page(after)
            for item in body["data"]:
                template = _read(item)
                if template is None:
                    unreadable += 1
                else:
                    found[template.name, template.language] = template
            after = _next(body)
            if after is None:
                return Listing(tuple(found.values()), unreadable)
            if after in seen:
                break
            seen.add(after)
        raise Unavailable("WhatsApp's list of templates does not end")

    def _page(self, after: str | None) -> dict[str, Any]:
        query = {"fields": FIELDS, "limit": str(PAGE)} | ({} if after is None else {"after": after})
        try:
            response = self._http.get(self._url, params=query)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"WhatsApp's list of templates cannot be read: {type(error).__name__} at {self._url}; see TOUCHSTONE_WHATSAPP_URL"
            ) from error
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            body = {}
        if not response.is_success:
            raise _error(body.get("error"), response.status_code)
        if not isinstance(body.get("data"), list):
            raise Unavailable("WhatsApp's list of templates came without a list")
        return body


def _error(error: Any, status: int) -> TouchstoneError:
    code = error.get("code") if isinstance(error, Mapping) else None
    code = code if isinstance(code, int) and not isinstance(code, bool) else None
    words = error.get("message") if isinstance(error, Mapping) else None
    said = f"HTTP {status}" + (f", code {code}" if code is not None else "")
    said += f": {words[:200]}" if isinstance(words, str) else ""
    kind = classify(code, http_status=status)
    if kind is ErrorClass.NUMBER_FUSE:
        return Refused(
            f"WhatsApp does not let this token list templates ({said}); see TOUCHSTONE_WHATSAPP_TOKEN"
        )
    if kind is ErrorClass.BAD_REQUEST:
        return Invalid(f"WhatsApp refuses to list the templates of this account ({said})", field=ACCOUNT)
    return Unavailable(f"WhatsApp does not list templates now ({said})")


def _next(body: Mapping[str, Any]) -> str | None:
    """The cursor of the next page; None behind the last one."""
    paging = body.get("paging")
    if not isinstance(paging, Mapping) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, Mapping) else None
    if not isinstance(after, str) or not after:
        raise Unavailable("WhatsApp's list of templates names a next page without a cursor")
    return after


def _read(item: Any) -> ListedTemplate | None:
    if not isinstance(item, Mapping):
        return None
    for name, longest in _LONGEST.items():
        if not isinstance(item.get(name), str) or not 0 < len(item[name]) <= longest:
            return None
    number, score, components = item.get("id"), item.get("quality_score"), item.get("components")
    quality = score.get("score") if isinstance(score, Mapping) else None
    form = item.get("parameter_format")
    return ListedTemplate(
        name=item["name"],
        language=item["language"],
        template_id=number[:50] if isinstance(number, str) else None,
        category=item["category"].lower(),
        status=item["status"].upper(),
        quality=quality[:30].upper() if isinstance(quality, str) else None,
        parameter_format=form[:20].upper() if isinstance(form, str) else "POSITIONAL",
        components=components if isinstance(components, list) else [],
    )
