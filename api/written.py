"""Documents as people write them, YAML or JSON, made into what both databases take."""

import json
from typing import Any

import yaml

from api.strict_json import read_json
from experiments.errors import Invalid


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them unfold to more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken")
        return super().compose_node(parent, index)


def read_written(text: str, *, field: str) -> dict[str, Any]:
    """The object in a YAML or JSON text; raises Invalid for `field`."""
    try:
        document = read_json(text.encode()) if text.lstrip()[:1] in ("{", "[") else _from_yaml(text)
    except yaml.YAMLError as error:
        raise Invalid(f"is not valid YAML: {' '.join(str(error).split())[:300]}", field=field) from error
    except RecursionError as error:
        raise Invalid("is nested too deeply", field=field) from error
    except ValueError as error:
        raise Invalid(f"is not valid JSON: {error}", field=field) from error
    if not isinstance(document, dict):
        raise Invalid("must be an object, such as {phone: mobile}", field=field)
    return document


def _from_yaml(text: str) -> Any:
    found = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # a safe loader, without aliases
    # YAML knows dates, other keys than texts, and characters that no database takes.
    return read_json(json.dumps(found, default=str).encode())
