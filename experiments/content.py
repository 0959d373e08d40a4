"""Message parameters as Jinja2 templates: one sandbox, and what can be checked before anybody is messaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from jinja2 import StrictUndefined, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from experiments.errors import Problem
from experiments.vocabulary import TEMPLATE_VARIABLES

MAX_PARAMETER_LENGTH = 2000


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """The one Jinja2 environment: sandboxed, and a variable that is not there is an error, never an empty string."""
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    # Not needed for a line of text, and the only ways to spend unbounded time or memory in one.
    for name in ("range", "lipsum", "cycler", "joiner", "namespace"):
        env.globals.pop(name, None)
    return env


@dataclass(frozen=True, slots=True)
class UsedAttribute:
    """`user.NAME` in a parameter; `optional` when a default stands in for a missing value."""

    name: str
    optional: bool


def problems_in(source: str, *, field: str) -> list[Problem]:
    """What is wrong with one parameter: syntax, length, or a variable that no message has."""
    if len(source) > MAX_PARAMETER_LENGTH:
        return [Problem(field, f"is {len(source)} characters long; {MAX_PARAMETER_LENGTH} are allowed")]
    try:
        tree = environment().parse(source)
    except TemplateSyntaxError as error:
        return [Problem(field, f"is not a valid template: {error.message}")]
    unknown = sorted(meta.find_undeclared_variables(tree) - set(TEMPLATE_VARIABLES))
    return [
        Problem(field, f"unknown template variable {name!r}; known are {', '.join(TEMPLATE_VARIABLES)}")
        for name in unknown
    ]


def used_attributes(source: str) -> list[UsedAttribute]:
    """The user attributes that a (valid) parameter reads, in order of appearance."""
    return list(_walk(environment().parse(source), optional=False))


def _walk(node: nodes.Node, *, optional: bool) -> Iterator[UsedAttribute]:
    if (
        isinstance(node, (nodes.Getattr, nodes.Getitem))
        and isinstance(node.node, nodes.Name)
        and node.node.name == "user"
    ):
        name = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
        if name is not None:
            yield UsedAttribute(name, optional)
    # A default, a test such as `is defined` and a condition all say that the value may be missing.
    inner = (
        optional
        or (isinstance(node, nodes.Filter) and node.name in {"default", "d"})
        or isinstance(node, (nodes.Test, nodes.If, nodes.CondExpr))
    )
    for child in node.iter_child_nodes():
        yield from _walk(child, optional=inner)


def _constant(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
