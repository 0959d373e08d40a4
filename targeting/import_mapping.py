"""Which column of a file means what, and what a row of it says about a user. Pure.

Without a mapping the usual names are found by themselves: `user_id`, `customer_id`, `id`, `email`; `phone`, `mobile`;
`time_zone`, `tz`; `locale`, `language`; `consent_marketing`, `utility_consent`. A column called just `consent` is not
guessed at: consent to what is for the owner of the file to say. Every other column becomes an attribute.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from experiments.errors import Invalid, Problem
from experiments.vocabulary import Category
from targeting.profile import check_document, check_locale, check_time_zone, check_user_id, normalise_phone
from targeting.roster import ProfileChange

_USUAL_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "user_id": ("user_id", "userid", "external_id", "customer_id", "contact_id", "id", "email", "e_mail"),
    "phone": ("phone", "phone_number", "phonenumber", "mobile", "mobile_phone", "mobile_number", "msisdn",
              "whatsapp", "whatsapp_number", "telephone", "tel", "e164"),
    "time_zone": ("time_zone", "timezone", "tz"),
    "locale": ("locale", "language", "lang"),
}  # fmt: skip
_USUAL_CONSENT: Final = ("consent_{}", "{}_consent", "opt_in_{}", "{}_opt_in", "optin_{}", "{}_optin")
_YES: Final = frozenset({"yes", "y", "true", "t", "1", "opted_in", "granted", "subscribed"})
_NO: Final = frozenset({"no", "n", "false", "f", "0", "opted_out", "withdrawn", "unsubscribed"})
_WORDS: Final = {"true": True, "false": False}
_WORD_LENGTHS: Final = frozenset(map(len, _WORDS))
_NUMBER_STARTS: Final = frozenset("-0123456789")
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """Column (or JSON key) of each part of a user; None and {} mean: find it by its name.

    `consent` maps category to column. `attributes` maps attribute to column; None makes every column an attribute that
    means nothing else. `consent_source` is written into the consent ledger.
    """

    user_id: str | None = None
    phone: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    consent: Mapping[str, str] = field(default_factory=dict)
    consent_source: str = "import"
    attributes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """A mapping resolved against the columns that are there. `attributes` None: all keys that are not in `claimed`."""

    user_id: str
    phone: str | None
    time_zone: str | None
    locale: str | None
    consent: Mapping[str, str]
    attributes: Mapping[str, str] | None
    claimed: frozenset[str]


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One good row. `line` is where it starts in the file, from 1; `raw` is its text."""

    line: int
    raw: str
    change: ProfileChange
    consents: Mapping[str, bool]


def resolve(mapping: ImportMapping, names: Sequence[str]) -> Columns:
    """Find every part of the mapping among `names`. Raises Invalid such as `mapping.phone`, naming the nearest column."""
    problems: list[Problem] = []
    by_simple_name = {_simple(name): name for name in reversed(names)}
    found: dict[str, str | None] = {}
    for part, usual in _USUAL_NAMES.items():
        wanted = getattr(mapping, part)
        if wanted is None:
            found[part] = next((by_simple_name[name] for name in usual if name in by_simple_name), None)
        else:
            found[part] = wanted
            problems += _unknown(f"mapping.{part}", wanted, names)
    if found["user_id"] is None:
        problems.append(
            Problem("mapping.user_id", f"no column is called like a user id; name one of {_listed(names)}")
        )
    consent = dict(mapping.consent) or _usual_consent(by_simple_name)
    for category, column in consent.items():
        if category not in set(Category):
            known = ", ".join(Category)
            problems.append(Problem(f"mapping.consent.{category}", f"is not a category; there are {known}"))
        problems += _unknown(f"mapping.consent.{category}", column, names)
    for attribute, column in (mapping.attributes or {}).items():
        problems += _unknown(f"mapping.attributes.{attribute}", column, names)
    if problems:
        raise Invalid.of(problems)
    return Columns(
        user_id=str(found["user_id"]),
        phone=found["phone"],
        time_zone=found["time_zone"],
        locale=found["locale"],
        consent=consent,
        attributes=mapping.attributes,
        claimed=frozenset(name for name in [*found.values(), *consent.values()] if name is not None),
    )


def _simple(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _usual_consent(by_simple_name: Mapping[str, str]) -> dict[str, str]:
    consent: dict[str, str] = {}
    for category in Category:
        for pattern in _USUAL_CONSENT:
            column = by_simple_name.get(pattern.format(category))
            if column is not None:
                consent.setdefault(str(category), column)
    return consent


def _unknown(path: str, column: str, names: Collection[str]) -> Iterable[Problem]:
    if column in names:
        return
    nearest = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {_listed(names)}"
    yield Problem(path, f"the file has no column {column!r}; {hint}")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:12])
    return shown + (", .." if len(names) > 12 else "")


def read_row(
    cells: Mapping[str, Any], columns: Columns, *, line: int, raw: str, default_region: str
) -> ImportRow:
    """What one row says. `cells`: column -> value, without the empty ones. Raises Invalid naming the column."""
    user_id = _as_text(cells, columns.user_id)
    if user_id is None:
        raise Invalid("is missing, so there is no telling who this is", field=columns.user_id)
    phone = _as_text(cells, columns.phone)
    time_zone = _as_text(cells, columns.time_zone)
    locale = _as_text(cells, columns.locale)
    if columns.attributes is None:
        attributes = {name: value for name, value in cells.items() if name not in columns.claimed}
    else:
        attributes = {
            attribute: cells[column] for attribute, column in columns.attributes.items() if column in cells
        }
    check_document(attributes, field="attributes")
    change = ProfileChange(
        user_id=check_user_id(user_id, field=columns.user_id),
        phone=phone and normalise_phone(phone, default_region=default_region, field=columns.phone or ""),
        time_zone=time_zone and check_time_zone(time_zone, field=columns.time_zone or ""),
        locale=locale and check_locale(locale, field=columns.locale or ""),
        attributes=attributes,
        phone_field=columns.phone or "phone",
    )
    consents = {
        category: _yes_or_no(cells[column], column)
        for category, column in columns.consent.items()
        if column in cells
    }
    return ImportRow(line=line, raw=raw, change=change, consents=consents)


def _as_text(cells: Mapping[str, Any], column: str | None) -> str | None:
    value = None if column is None else cells.get(column)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Invalid("is neither text nor a whole number", field=column)


def _yes_or_no(value: Any, column: str) -> bool:
    word = str(value).strip().lower().replace("-", "_").replace(" ", "_")
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise Invalid(f"{str(value)[:40]!r} is neither yes nor no", field=column)


def infer(text: str) -> Any:
    """The value that a CSV cell most plainly is: whole number, decimal, true or false; anything else stays text.

    Decided cell by cell. Numbers with a leading zero or plus (post codes, phones), in scientific notation, or too long
    for 64 bits stay text, and so do dates: conditions read ISO 8601 as it is.

    >>> [infer(text) for text in ("12", "-0.5", "TRUE", "007", "1e5", "2026-08-01")]
    [12, -0.5, True, '007', '1e5', '2026-08-01']
    """
    if text[:1] in _NUMBER_STARTS:
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text
    return _WORDS.get(text.lower(), text) if len(text) in _WORD_LENGTHS else text
