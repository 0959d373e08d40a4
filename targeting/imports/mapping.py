"""Which column of a file means what. Pure; what a row then says about a user is in `cells.py`.

Without a mapping the usual names are found by themselves: `user_id`, `customer_id`, `id`, `email`; `phone`, `mobile`;
`time_zone`, `tz`; `locale`, `language`; `consent_marketing`, `utility_consent`. A column called just `consent` is not
guessed at: consent to what is for the owner of the file to say. Every other column becomes an attribute.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from experiments.errors import Invalid, Problem
from experiments.vocabulary import Category

_USUAL_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "user_id": ("user_id", "userid", "external_id", "customer_id", "contact_id", "id", "email", "e_mail"),
    "phone": ("phone", "phone_number", "phonenumber", "mobile", "mobile_phone", "mobile_number", "msisdn",
              "whatsapp", "whatsapp_number", "telephone", "tel", "e164"),
    "time_zone": ("time_zone", "timezone", "tz"),
    "locale": ("locale", "language", "lang"),
}  # fmt: skip
_USUAL_CONSENT: Final = ("consent_{}", "{}_consent", "opt_in_{}", "{}_opt_in", "optin_{}", "{}_optin")

AttributeType = Literal["text", "number", "boolean", "time", "list"]


@dataclass(frozen=True, slots=True)
class ConsentColumns:
    """The column that says yes or no, and those that prove it: where the person agreed, and to which words.

    `positive` and `negative` are words of the file beside those that are understood anyway.
    """

    column: str
    source: str | None = None
    evidence: str | None = None
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """The column of an attribute. `type` None keeps each value as it most plainly is.

    `decimal` is for numbers (`,` makes 1.234,5 of 1234.5), `format` and `zone` for times (strptime's signs, or `unix`,
    or `unix_ms`; the zone of times that name none), `separator` and `items` for lists, `positive` and `negative` for booleans.
    """

    column: str
    type: AttributeType | None = None
    decimal: Literal[".", ","] = "."
    format: str | None = None
    zone: str = "UTC"
    separator: str = ","
    items: Literal["text", "number"] = "text"
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """Column (or JSON key) of each part of a user; None and {} mean: find it by its name.

    `consent` maps category to columns, `attributes` attribute to column; a plain name stands for a column alone.
    `other_columns` says whether columns that mean nothing else become attributes; None: unless `attributes` is given.
    `consent_source` is written into the consent ledger where no column says better. `region` is the country of phone
    numbers without a plus. `guess` False: None and {} mean that there is none.
    """

    user_id: str | None = None
    phone: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    consent: Mapping[str, str | ConsentColumns] = field(default_factory=dict)
    consent_source: str = "import"
    attributes: Mapping[str, str | AttributeColumn] | None = None
    other_columns: bool | None = None
    region: str | None = None
    guess: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """A mapping resolved against the columns that are there.

    `claimed` are the columns that do not become attributes by themselves; `verbatim` those whose text is not guessed at.
    """

    user_id: str
    phone: str | None
    time_zone: str | None
    locale: str | None
    consent: Mapping[str, ConsentColumns]
    attributes: Mapping[str, AttributeColumn]
    others: bool
    claimed: frozenset[str]
    verbatim: frozenset[str]
    meanings: Mapping[str, str]

    def meaning_of(self, column: str) -> str:
        """What becomes of a column: `phone`, `consent.marketing`, `attributes.country`, or empty: it is not read."""
        return self.meanings.get(column) or (f"attributes.{column}" if self.others else "")


def resolve(mapping: ImportMapping, names: Sequence[str]) -> Columns:
    """Find every part of the mapping among `names`. Raises Invalid such as `mapping.phone`, naming the nearest column."""
    problems: list[Problem] = []
    by_simple_name = {simple_name(name): name for name in reversed(names)} if mapping.guess else {}
    found: dict[str, str | None] = {}
    for part in _USUAL_NAMES:
        wanted = getattr(mapping, part)
        if wanted is None:
            found[part] = _usual_name(part, by_simple_name)
        else:
            found[part] = wanted
            problems += _unknown(f"mapping.{part}", wanted, names)
    if found["user_id"] is None:
        why = "no column is called like a user id" if mapping.guess else "is required"
        problems.append(Problem("mapping.user_id", f"{why}; name one of {_listed(names)}"))
    consent = {
        category: ConsentColumns(said) if isinstance(said, str) else said
        for category, said in (mapping.consent or _usual_consent(by_simple_name)).items()
    }
    attributes = {
        attribute: AttributeColumn(said) if isinstance(said, str) else said
        for attribute, said in (mapping.attributes or {}).items()
    }
    problems += _wrong_consent(consent, names)
    for attribute, said in attributes.items():
        problems += _unknown(f"mapping.attributes.{attribute}", said.column, names)
    if problems:
        raise Invalid.of(problems)
    meanings = {said.column: f"attributes.{attribute}" for attribute, said in attributes.items()}
    for category, columns in consent.items():
        for name in (columns.source, columns.evidence):
            if name is not None:
                meanings[name] = f"consent.{category}"
        meanings[columns.column] = f"consent.{category}"
    meanings |= {name: part for part, name in found.items() if name is not None}
    typed = {said.column for said in attributes.values() if said.type is not None}
    claimed = frozenset(meanings)
    return Columns(
        user_id=str(found["user_id"]),
        phone=found["phone"],
        time_zone=found["time_zone"],
        locale=found["locale"],
        consent=consent,
        attributes=attributes,
        others=mapping.attributes is None if mapping.other_columns is None else mapping.other_columns,
        claimed=claimed,
        verbatim=frozenset(name for name in claimed if not meanings[name].startswith("attributes.")) | typed,
        meanings=meanings,
    )


def guess(names: Sequence[str]) -> dict[str, str]:
    """What each column becomes when nobody says: column -> `user_id`, `consent.marketing`, `attributes.country` ..

    As `resolve` without a mapping, but where no column is called like a user id there is just none.

    >>> guess(["Customer ID", "opt_in_marketing", "city"])
    {'Customer ID': 'user_id', 'opt_in_marketing': 'consent.marketing', 'city': 'attributes.city'}
    """
    by_simple_name = {simple_name(name): name for name in reversed(names)}
    meanings = {name: f"attributes.{name}" for name in names}
    meanings |= {column: f"consent.{category}" for category, column in _usual_consent(by_simple_name).items()}
    meanings |= {
        name: part for part in _USUAL_NAMES if (name := _usual_name(part, by_simple_name)) is not None
    }
    return meanings


def _usual_name(part: str, by_simple_name: Mapping[str, str]) -> str | None:
    return next((by_simple_name[name] for name in _USUAL_NAMES[part] if name in by_simple_name), None)


def simple_name(name: str) -> str:
    """A column's name as the usual names are spelled: `Opt-in E-Mail` is `opt_in_e_mail`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _usual_consent(by_simple_name: Mapping[str, str]) -> dict[str, str]:
    consent: dict[str, str] = {}
    for category in Category:
        for pattern in _USUAL_CONSENT:
            column = by_simple_name.get(pattern.format(category))
            if column is not None:
                consent.setdefault(str(category), column)
    return consent


def _wrong_consent(consent: Mapping[str, ConsentColumns], names: Collection[str]) -> Iterable[Problem]:
    for category, said in consent.items():
        path = f"mapping.consent.{category}"
        if category not in set(Category):
            yield Problem(path, f"is not a category; there are {', '.join(Category)}")
        yield from _unknown(path, said.column, names)
        for part, column in (("source", said.source), ("evidence", said.evidence)):
            if column is not None:
                yield from _unknown(f"{path}.{part}", column, names)


def _unknown(path: str, column: str, names: Collection[str]) -> Iterable[Problem]:
    if column in names:
        return
    nearest = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {_listed(names)}"
    yield Problem(path, f"the file has no column {column!r}; {hint}")


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:12])
    return shown + (", .." if len(names) > 12 else "")
