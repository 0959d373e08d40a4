"""Documents as people write them, YAML or JSON, made into what both databases take."""

import json
import re
from typing import Any, Final

import yaml

from api.strict_json import TooDeepError, read_json
from experiments.errors import Invalid

_SURPRISES: Final = frozenset({"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"})


class _PlainLoader(yaml.SafeLoader):
    """YAML without its surprises.

    Aliases: a few lines of them unfold to more than any memory holds. A column called `no` or `on` is not a boolean, and one
    called 2026-01-01 no date.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the library has it
        first: [(tag, pattern) for tag, pattern in known if tag not in _SURPRISES]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the library has no types
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken", mark)
        return super().compose_node(parent, index)


_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("true|false", re.IGNORECASE), list("tTfF")
)


def read_written(text: str, *, field: str) -> dict[str, Any]:
    """The object in a YAML or JSON text; raises Invalid for `field`, of YAML with the line and the column (from 1)."""
    try:
        document = _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = ": ".join(part for part in (error.context, error.problem) if part)
        raise Invalid(f"is not valid YAML{place}: {said[:300]}", field=field) from error
    except yaml.YAMLError as error:
        raise Invalid(f"is not valid YAML: {' '.join(str(error).split())[:300]}", field=field) from error
    except TooDeepError as error:
        raise Invalid(f"is {error.msg}", field=field) from error
    except RecursionError as error:
        raise Invalid("is nested too deeply", field=field) from error
    except ValueError as error:
        raise Invalid(f"cannot be taken: {error}", field=field) from error
    if not isinstance(document, dict):
        raise Invalid("must be an object, such as {phone: mobile}", field=field)
    return document


def _read(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return _from_yaml(text)
    try:
        return read_json(text.encode())
    except ValueError:
        # YAML has objects in braces too. What JSON refuses for what it holds (too deep, no number) YAML must not let in.
        if _is_json(text):
            raise
        return _from_yaml(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _from_yaml(text: str) -> Any:
    found = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # a safe loader, without aliases
    # YAML knows other keys than texts, and characters that no database takes.
    return read_json(json.dumps(found, default=str).encode())
