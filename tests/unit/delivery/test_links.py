"""Tokens fit where they are put: a URL, the table's column, and a template's button."""

import re
import secrets

from delivery.content.links import TOKEN_BYTES
from delivery.models import Link


def test_a_token_needs_no_escaping_and_fits_its_column() -> None:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", token)
    assert len(token) <= Link.__table__.c.token.type.length  # type: ignore[attr-defined]
