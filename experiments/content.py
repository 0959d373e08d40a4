"""Message parameters as Jinja2 templates: one sandbox, and what can be checked before anybody is messaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from experiments.errors import Problem
from experiments.vocabulary import TEMPLATE_VARIABLES

MAX_PARAMETER_LENGTH: Final = 2000

FILTERS: Final = (
    *("default", "d", "upper", "lower", "title", "capitalize", "trim", "truncate"),
    *("round", "int", "float", "abs", "first", "last", "length", "string"),
)
"""Filters whose result is never much larger than what goes in. With calls, loops, `*` and `%` left out as well, no parameter
that passes can spend unbounded time or memory, whatever a user's attributes hold."""

_ALLOWED: Final = (
    *(nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr),
    *(
        nodes.Name,
        nodes.Const,
        nodes.Getattr,
        nodes.Getitem,
        nodes.Filter,
        nodes.Keyword,
        nodes.List,
        nodes.Tuple,
    ),
    *(nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not),
    *(nodes.Add, nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Neg, nodes.Pos, nodes.Concat),
)


@cache
def environment() -> ImmutableSandboxedEnvironment:
    """The one Jinja2 environment: sandboxed, and a variable that is not there is an error, never an empty string."""
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    env.globals.clear()
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
    # Only looked at, never compiled: Jinja's compiler would work out a constant such as 'a' * 1000000000.
    names = {name.name for name in tree.find_all(nodes.Name)}
    return [
        Problem(field, f"unknown template variable {name!r}; known are {', '.join(TEMPLATE_VARIABLES)}")
        for name in sorted(names - set(TEMPLATE_VARIABLES))
    ] + [Problem(field, message) for message in dict.fromkeys(_forbidden(tree))]


def _forbidden(node: nodes.Node) -> Iterator[str]:
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Filter) and child.name not in FILTERS:
            yield f"the filter {child.name!r} is not offered; use one of {', '.join(FILTERS)}"
        elif not isinstance(child, _ALLOWED):
            yield f"{type(child).__name__.lower()} is not offered in a line of text; use {{{{ .. }}}}, filters and {{% if %}}"
        yield from _forbidden(child)


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
