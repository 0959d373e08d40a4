"""The form that says which column of a file means what. What the API says about a part stands under it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit

from dashboard import countries, formats, import_mapping, viewer
from dashboard.calls.imports import Column
from dashboard.import_mapping import AttributeChoice, ConsentChoice
from dashboard.texts import say, told

Problems = Sequence[tuple[str, str]]
NONE: Final = ""
EXAMPLES: Final = 3


def ask(columns: Sequence[Column], problems: Problems) -> dict[str, Any]:
    """The mapping document, as the form stands."""
    guess = import_mapping.guessed(columns)
    streamlit.subheader(say("import_fields.title"), anchor=False)
    streamlit.caption(say("import_fields.words"))
    fields: dict[str, str | None] = {}
    for place, name in zip(streamlit.columns(2) * 2, import_mapping.FIELDS, strict=True):
        with place:
            fields[name] = _column(
                say(f"import_fields.field.{name}"),
                columns,
                guess.fields.get(name, NONE),
                key=f"map:{name}",
                help=say(f"import_fields.help.{name}"),
            )
            _show_problems(problems, f"mapping.{name}")
    named = countries.names(viewer.language())
    region = streamlit.selectbox(
        say("import_fields.region"),
        [NONE, *named],
        format_func=lambda code: f"{named[code]} ({code})" if code else say("import_fields.no_region"),
        help=say("import_fields.region_help"),
        width=400,
        key="map:region",
    )
    _show_problems(problems, "mapping.region")
    consent, consent_source = _ask_for_consent(columns, guess.consent, problems)
    taken = {name for name in fields.values() if name}
    taken |= {
        column for choice in consent.values() for column in (choice.column, choice.source, choice.evidence)
    }
    attributes, others = _ask_for_attributes([each for each in columns if each.name not in taken], problems)
    return import_mapping.document(
        fields, consent, attributes, others=others, consent_source=consent_source, region=region
    )


def _column(
    label: str,
    columns: Sequence[Column],
    guess: str,
    *,
    key: str,
    help: str,  # noqa: A002  # Streamlit's own word
) -> str:
    """One of the columns, shown with what stands in it; empty: none."""
    names = [NONE, *(column.name for column in columns)]
    examples = {column.name: _examples(column) for column in columns}

    def shown(name: str) -> str:
        return f"{name}{examples.get(name, '')}" if name else say("import_fields.none")

    return str(
        streamlit.selectbox(
            label,
            names,
            index=names.index(guess) if guess in names else 0,
            format_func=shown,
            help=help,
            # Another file has other columns: its form begins anew.
            key=f"{key}:{hash(tuple(names))}",
        )
    )


def _examples(column: Column) -> str:
    found = [value for value in dict.fromkeys(column.values) if value][:EXAMPLES]
    text = ", ".join(found)
    return f" ({text[:60]}{'..' if len(text) > 60 else ''})" if text else ""


def _show_problems(problems: Problems, path: str) -> None:
    for words in import_mapping.problems_at(problems, path):
        streamlit.error(formats.plain(words), icon=":material/error:")


def _ask_for_consent(
    columns: Sequence[Column], guess: Mapping[str, str], problems: Problems
) -> tuple[dict[str, ConsentChoice], str]:
    streamlit.subheader(say("import_fields.consent.title"), anchor=False)
    streamlit.markdown(say("import_fields.consent.words"))
    chosen: dict[str, ConsentChoice] = {}
    for category in import_mapping.CATEGORIES:
        name = told("common.category", category)
        column = _column(
            say("import_fields.consent.column", category=name),
            columns,
            guess.get(category, NONE),
            key=f"consent:{category}",
            help=say("import_fields.consent.column_help"),
        )
        if column:
            chosen[category] = _ask_for_proof(category, name, column, columns)
        _show_problems(problems, f"mapping.consent.{category}")
    source = ""
    if chosen:
        source = streamlit.text_input(
            say("import_fields.consent.source"),
            help=say("import_fields.consent.source_help"),
            max_chars=100,
            key="consent:source",
        )
        _show_problems(problems, "mapping.consent_source")
    return chosen, source


def _ask_for_proof(category: str, name: str, column: str, columns: Sequence[Column]) -> ConsentChoice:
    with streamlit.expander(say("import_fields.consent.more", category=name)):
        source = _column(
            say("import_fields.consent.source_column"),
            columns,
            NONE,
            key=f"consent:{category}:source",
            help=say("import_fields.consent.source_column_help"),
        )
        evidence = _column(
            say("import_fields.consent.evidence_column"),
            columns,
            NONE,
            key=f"consent:{category}:evidence",
            help=say("import_fields.consent.evidence_column_help"),
        )
        positive = streamlit.text_input(
            say("import_fields.consent.positive"),
            help=say("import_fields.consent.positive_help"),
            key=f"consent:{category}:positive",
        )
        negative = streamlit.text_input(
            say("import_fields.consent.negative"),
            help=say("import_fields.consent.negative_help"),
            key=f"consent:{category}:negative",
        )
    return ConsentChoice(column, source, evidence, positive, negative)


def _ask_for_attributes(columns: Sequence[Column], problems: Problems) -> tuple[list[AttributeChoice], bool]:
    streamlit.subheader(say("import_fields.attribute.title"), anchor=False)
    others = streamlit.checkbox(
        say("import_fields.attribute.others"),
        value=True,
        help=say("import_fields.attribute.others_help"),
        key="map:others",
    )
    names = [column.name for column in columns]
    picked = streamlit.multiselect(
        say("import_fields.attribute.pick"),
        names,
        help=say("import_fields.attribute.pick_help"),
        key=f"map:typed:{hash(tuple(names))}",
    )
    choices = [_ask_for_attribute(column, problems) for column in columns if column.name in picked]
    named = {choice.name for choice in choices}
    for name, words in problems:
        # About an attribute that the form does not show by itself.
        if name.startswith("mapping.attributes") and not any(
            name == path or name.startswith(f"{path}.")
            for path in (f"mapping.attributes.{each}" for each in named)
        ):
            streamlit.error(formats.plain(f"{name}: {words}"), icon=":material/error:")
    return choices, others


def _ask_for_attribute(column: Column, problems: Problems) -> AttributeChoice:
    key = f"attribute:{column.name}"
    with streamlit.container(border=True):
        streamlit.markdown(f"**{formats.plain(column.name)}**{formats.plain(_examples(column))}")
        left, right = streamlit.columns(2)
        name = left.text_input(
            say("import_fields.attribute.name"),
            value=column.name,
            help=say("import_fields.attribute.name_help"),
            max_chars=200,
            key=f"{key}:name",
        ).strip()
        kind = str(
            right.selectbox(
                say("import_fields.attribute.type"),
                import_mapping.TYPES,
                format_func=lambda each: say(f"import_fields.type.{each}"),
                help=say("import_fields.attribute.type_help"),
                key=f"{key}:type",
            )
        )
        options = {
            option: streamlit.text_input(
                say(f"import_fields.option.{option}"),
                help=say(f"import_fields.option_help.{option}"),
                key=f"{key}:{option}",
            )
            for option in import_mapping.OPTIONS.get(kind, ())
        }
        _show_problems(problems, f"mapping.attributes.{name or column.name}")
    return AttributeChoice(column.name, name or column.name, kind, options)
