"""Sticky buckets: the variant that a user got stays theirs, even when weights or the attribute that is hashed change.

One document per attribute value, in the shape of the GrowthBook SDKs, under the key "attribute||value":

    {"attributeName": "id", "attributeValue": "u1", "assignments": {"EXPERIMENT__BUCKET VERSION": "KEY OF THE VARIANT"}}

Documents live in a dict of the caller and are replaced there, never changed: who kept one keeps it as it was.
"""

from collections.abc import Sequence
from typing import Any

from targeting.conditions.values import is_number, number_text

Documents = dict[str, Any]


def documents_of(given: Any) -> Documents:
    """The documents by key: `given` itself when it is a dict already; a list of documents is put into a new one."""
    if isinstance(given, dict):
        return given
    found: Documents = {}
    for document in given if isinstance(given, list | tuple) else ():
        if isinstance(document, dict):
            found[f"{document.get('attributeName')}||{document.get('attributeValue')}"] = document
    return found


def document_key(attribute: str, value: str) -> str:
    return f"{attribute}||{value}"


def bucket_key(experiment: str, version: Any) -> str:
    """Under which a document holds the assignment; a version that is no number is 0."""
    return f"{experiment}__{number_text(version) if is_number(version) else '0'}"


def assignments_of(documents: Documents, keys: Sequence[str]) -> dict[str, Any]:
    """What the documents of these keys hold together; the first that holds an assignment wins."""
    found: dict[str, Any] = {}
    for key in reversed(keys):
        found.update(_assignments(documents, key))
    return found


def is_blocked(assignments: dict[str, Any], experiment: str, least_version: Any) -> bool:
    """Whether the user was in a version of the experiment below the least that still takes part."""
    if not is_number(least_version) or least_version <= 0 or not assignments:
        return False
    prefix = f"{experiment}__"
    versions = (key[len(prefix) :] for key in assignments if isinstance(key, str) and key.startswith(prefix))
    # A version longer than 15 digits is none that anybody counts to.
    return any(
        v.isascii() and v.isdigit() and len(v) <= 15 and str(int(v)) == v and int(v) < least_version
        for v in versions
    )


def variation_of(assignments: dict[str, Any], key: str, metas: Sequence[Any]) -> int:
    """The index of the variant that is assigned under `key`; -1 when there is none, or no variant has its name."""
    assigned = assignments.get(key)
    if not isinstance(assigned, str):
        return -1
    for index, meta in enumerate(metas):
        if isinstance(meta, dict) and meta.get("key") == assigned:
            return index
    return -1


def save(documents: Documents, *, attribute: str, value: str, key: str, variation: str) -> None:
    """Note the assignment; a document that already says so stays the same object."""
    place = document_key(attribute, value)
    held = _assignments(documents, place)
    if held.get(key) != variation:
        documents[place] = {
            "attributeName": attribute,
            "attributeValue": value,
            "assignments": {**held, key: variation},
        }


def _assignments(documents: Documents, key: str) -> dict[str, Any]:
    document = documents.get(key)
    assignments = document.get("assignments") if isinstance(document, dict) else None
    return assignments if isinstance(assignments, dict) else {}
