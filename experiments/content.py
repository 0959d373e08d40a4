"""Message texts as Jinja2 templates: one sandbox, and what can be checked before anybody is messaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from experiments.errors import Problem
from experiments.vocabulary import TEMPLATE_VARIABLES

MAX_PARAMETER_LENGTH: Final = 4096
MOST_DIGITS: Final = 15
FAILURES: Final = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError)
"""What Python says of an expression that has no value, besides Jinja's own errors."""
FETCHED: Final = frozenset({"events", "content"})

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
    env = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_not_a_method)
    env.globals.clear()
    return env


def _not_a_method(value: Any) -> Any:
    """`{{ user.name.upper }}` would greet somebody as `<built-in method upper ..>`."""
    if callable(value) and not isinstance(value, Undefined):
        raise TemplateRuntimeError(f"a method is not a text; for upper case, write | upper ({value!r:.60})")
    return value


@dataclass(frozen=True, slots=True)
class UsedAttribute:
    """`user.NAME` in a parameter; `optional` when a default stands in for a missing value."""

    name: str
    optional: bool


def problems_in(source: str, *, field: str) -> list[Problem]:
    """What is wrong with one parameter: nothing in it, syntax, length, or a variable that no message has."""
    if not source.strip():
        return [Problem(field, "is empty for everybody, and WhatsApp refuses an empty parameter")]
    if len(source) > MAX_PARAMETER_LENGTH:
        return [Problem(field, f"is {len(source)} characters long; {MAX_PARAMETER_LENGTH} are allowed")]
    try:
        tree = environment().parse(source)
    except TemplateSyntaxError as error:
        return [Problem(field, f"is not a valid template: {error.message}")]
    # Looked at before any of it is compiled: Jinja's compiler would work out a constant such as 'a' * 1000000000.
    names = {name.name for name in tree.find_all(nodes.Name)}
    return [
        Problem(field, f"unknown template variable {name!r}; known are {', '.join(TEMPLATE_VARIABLES)}")
        for name in sorted(names - set(TEMPLATE_VARIABLES))
    ] + [
        Problem(field, message)
        for message in dict.fromkeys([*_forbidden(tree), *_unnamed(tree, named=False)]) or _failing(tree)
    ]


def _forbidden(node: nodes.Node) -> Iterator[str]:
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Filter) and child.name not in FILTERS:
            yield f"the filter {child.name!r} is not offered; use one of {', '.join(FILTERS)}"
        elif isinstance(child, nodes.Filter) and child.name == "round" and not _rounds_to_few(child):
            yield f"round takes a number of digits from 0 to {MOST_DIGITS}, written out"
        elif isinstance(child, nodes.Filter) and child.name == "truncate" and any(map(_reads, _given(child))):
            yield "truncate takes a length that is written out"
        elif isinstance(child, nodes.Test) and child.name not in environment().tests:
            yield f"there is no test {child.name!r}; write is defined, say"
        elif not isinstance(child, _ALLOWED):
            yield f"{type(child).__name__.lower()} is not offered in a line of text; use {{{{ .. }}}}, filters and {{% if %}}"
        yield from _forbidden(child)


def _rounds_to_few(call: nodes.Filter) -> bool:
    """Whether no number of many digits is made: round works with ten to the power of its argument."""
    return all(
        isinstance(each, nodes.Const)
        and (isinstance(each.value, str) or (isinstance(each.value, int) and 0 <= each.value <= MOST_DIGITS))
        for each in _given(call)
    )


def _given(call: nodes.Filter) -> list[nodes.Expr]:
    return [*call.args, *(keyword.value for keyword in call.kwargs)]


def _failing(node: nodes.Node) -> list[str]:
    """What of a template that is otherwise good fails for each user, because it asks nothing about the user."""
    found: list[str] = []
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Expr) and not isinstance(child, nodes.TemplateData | nodes.Const):
            if not _reads(child):
                found += _failure(child, shown=isinstance(node, nodes.Output))
                continue
            if isinstance(child, nodes.Div | nodes.FloorDiv) and not _reads(child.right):
                found += _failure(type(child)(nodes.Const(1), child.right), shown=False)
            elif isinstance(child, nodes.Filter) and child.name == "truncate":
                words = nodes.Filter(nodes.Const(""), child.name, child.args, child.kwargs, None, None)
                found += _failure(words, shown=False)
        found += _failing(child)
    return list(dict.fromkeys(found))


def _reads(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) or node.find(nodes.Name) is not None


def _failure(constant: nodes.Expr, *, shown: bool) -> list[str]:
    """Why an expression without variables has no value; nothing is written of one that only something else reads."""
    value = constant if shown else nodes.Test(constant, "defined", [], [], None, None)
    page = nodes.Template([nodes.Output([value], lineno=1)], lineno=1)
    try:
        environment().from_string(page).render()
    except (TemplateError, *FAILURES) as error:
        return [f"fails for everybody: {str(error) or type(error).__name__}"]
    return []


def _unnamed(node: nodes.Node, *, named: bool) -> Iterator[str]:
    """`events` and `content` are fetched by name beforehand, so what is read of them must be said outright."""
    if isinstance(node, nodes.Name) and node.name in FETCHED and not named:
        example = f'{node.name}["Order Completed"]' if node.name == "events" else f"{node.name}.recommended"
        yield f"`{node.name}` needs a name, written out, such as {example}"
    is_named = isinstance(node, (nodes.Getattr, nodes.Getitem)) and _read_from(node) is not None
    for child in node.iter_child_nodes():
        yield from _unnamed(child, named=is_named)


def used_attributes(source: str) -> list[UsedAttribute]:
    """The user attributes that a (valid) parameter reads, in order of appearance."""
    return [
        UsedAttribute(name, optional)
        for variable, name, optional in _walk(environment().parse(source), optional=False)
        if variable == "user"
    ]


def used_events(source: str) -> list[str]:
    """Names of the events that a (valid) parameter reads, in order of appearance, each once."""
    return _used(source, "events")


def used_sources(source: str) -> list[str]:
    """Names of the content sources that a (valid) parameter reads, in order of appearance, each once."""
    return _used(source, "content")


def _used(source: str, of: str) -> list[str]:
    found = _walk(environment().parse(source), optional=False)
    return list(dict.fromkeys(name for variable, name, _ in found if variable == of))


def _walk(node: nodes.Node, *, optional: bool) -> Iterator[tuple[str, str, bool]]:
    """Variable, name and whether it may be missing, for each `variable.name`."""
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and isinstance(node.node, nodes.Name):
        name = _read_from(node)
        if name is not None:
            yield node.node.name, name, optional
    # A default, a test such as `is defined` and a condition all say that the value may be missing.
    inner = (
        optional
        or (isinstance(node, nodes.Filter) and node.name in {"default", "d"})
        or isinstance(node, (nodes.Test, nodes.If, nodes.CondExpr))
    )
    for child in node.iter_child_nodes():
        yield from _walk(child, optional=inner)


def _read_from(node: nodes.Getattr | nodes.Getitem) -> str | None:
    """The constant name in `x.name` or `x["name"]`."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None
