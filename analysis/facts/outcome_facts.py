"""One row per mature user: what the metrics of a group come to for that user, as SQL.

A user's number is what happened in [assigned_at, assigned_at + window), whatever was sent to whom (intention to treat); a
user to whom nothing happened has 0. Only *mature* users count, those whose whole window lies before `as_of`:
assigned_at + window <= as_of. The covariate is the same quantity over [assigned_at - covariate, assigned_at).
Messages are those of the experiment, so none is older than the assignment, whatever the second hand of a receipt says.

Users whose variant was forced (testers) count nowhere: chance did not put them into their arm.

Columns of metric number i: `y<i>` the outcome (numerator of a ratio), `d<i>` the denominator; `x<i>` the covariate, of a
ratio at first its numerator `p<i>` and denominator `q<i>`; `bad<i>` how many values could not be used. To count them costs
as much again as to add up the others, so at first they are only marked: `bad<i>` is then 1 for a user with any, whose other
columns mean nothing, and the same query is asked once more, `exact`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    FromClause,
    Label,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
)

from analysis.facts.fact_tables import ASSIGNMENTS, EVENTS, MESSAGES, STAGES, micros
from analysis.facts.metric_groups import MetricGroup
from analysis.facts.property_facts import MARK, MarkedNumberIn, NumberIn, UnusableIn, holds
from delivery.outbox.retry import FAILED_REASONS, NEVER_REASONS
from delivery.whatsapp.error_table import OPTED_OUT, UNDELIVERABLE
from experiments.clock import MICROSECOND, to_micros
from experiments.metrics import MetricDefinition
from experiments.quantities import QuantityFields
from experiments.vocabulary import MessageStage, MessageState, MetricKind

BLOCKED_REASONS: Final = tuple(NEVER_REASONS[code] for code in (OPTED_OUT, UNDELIVERABLE))
"""Why a message failed for good because of its person: marketing stopped in WhatsApp, or unreachable (as after a block)."""

LEAST_TOTAL: Final = 1e-50
"""A smaller total is none: what is divided by it could be too large for a double, which PostgreSQL takes for an error."""

_BEFORE: Final = {"y": "x", "d": "q"}


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """What users are told apart by, beside their variant: an expression that is never NULL, over `people` (assignments,
    with whatever is joined to them one to one).

    until: the moment up to which what a user does counts; then users whose windows are open count as well. None: only those
    whose window has closed, up to its end. only: which assignments are looked at at all; None: all of the experiment.
    """

    people: FromClause
    slice_of: ColumnElement[Any]
    until: ColumnElement[int] | None = None
    only: ColumnElement[bool] | None = None


def outcomes(
    experiment_id: int,
    group: MetricGroup,
    *,
    as_of: datetime,
    exact: bool = True,
    slicing: Slicing | None = None,
    everybody: bool = True,
) -> CTE:
    """The rows: variant, the columns of each metric, capped and with the covariates of ratios made, and `slice` if asked.

    everybody: False leaves out users to whom nothing happened, all of whose columns are 0; not where a cap needs all users
    (`MetricGroup.has_ranked_caps`).
    """
    found = _counted(experiment_id, group, as_of=as_of, exact=exact, slicing=slicing, is_outer=everybody)
    if not exact:
        found = _with_marks(group, found)
    return _with_ratio_covariates(group, _capped(group, found))


def mature_query(experiment_id: int, window: timedelta, *, as_of: datetime) -> Select[Any]:
    """Per variant, how many users are mature for this window (`n`)."""
    a = ASSIGNMENTS.c
    return (
        select(a.variant, func.count().label("n"))
        .where(*is_mature(experiment_id, window, as_of=as_of))
        .group_by(a.variant)
    )


def is_mature(experiment_id: int, window: timedelta, *, as_of: datetime) -> Sequence[ColumnElement[bool]]:
    """That an assignment counts: of the experiment, not forced, and with its window closed."""
    a = ASSIGNMENTS.c
    return (a.experiment_id == experiment_id, not_(a.forced), is_closed(window, as_of=as_of))


def is_closed(window: timedelta, *, as_of: datetime) -> ColumnElement[bool]:
    """That the window of an assignment has closed."""
    return micros(ASSIGNMENTS.c.assigned_at) <= to_micros(as_of) - window // MICROSECOND


def _counted(
    experiment_id: int,
    group: MetricGroup,
    *,
    as_of: datetime,
    exact: bool,
    slicing: Slicing | None,
    is_outer: bool,
) -> CTE:
    a, e, m = ASSIGNMENTS.c, EVENTS.c, MESSAGES.c
    end, closed = _end(group.window), group.window
    user: list[Label[Any]] = [func.min(a.variant).label("variant")]
    people: FromClause = ASSIGNMENTS
    if slicing is not None:
        people = slicing.people
        if slicing.until is not None:
            end, closed = slicing.until, timedelta(0)
        user.append(func.min(slicing.slice_of).label("slice"))
    first = micros(a.assigned_at)
    if group.longest_covariate is not None:
        first = first - group.longest_covariate // MICROSECOND
    named = e.name == group.events[0] if len(group.events) == 1 else e.name.in_(group.events)
    within = and_(e.user_pk == a.user_pk, named, micros(e.at) >= first, micros(e.at) < end)
    events = people.join(EVENTS, within, isouter=is_outer)
    own = and_(m.experiment_id == a.experiment_id, m.user_pk == a.user_pk)
    messages = people.join(MESSAGES, own, isouter=is_outer)
    of_events, of_messages = _event_columns(group, exact=exact), _message_columns(group, end)
    counted = [*is_mature(experiment_id, closed, as_of=as_of)]
    if slicing is not None and slicing.only is not None:
        counted.append(slicing.only)

    def per_user(source: Any, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        return select(*columns).select_from(source).where(*counted).group_by(a.user_pk)

    if not of_messages:
        return per_user(events, [*user, *of_events]).cte("outcomes")
    if not of_events:
        return per_user(messages, [*user, *of_messages]).cte("outcomes")
    # Joined at once, every event of a user would stand beside every message; stacked, each column comes from one side.
    names = [column.name for column in (*of_events, *of_messages)]

    def side(source: Any, columns: Sequence[Label[Any]]) -> Select[Any]:
        known = {column.name: column for column in columns}
        return per_user(
            source, [a.user_pk, *user, *(known.get(name, _double(0).label(name)) for name in names)]
        )

    both = union_all(side(events, of_events), side(messages, of_messages)).cte("users_sides")
    return (
        select(
            *(func.min(both.c[column.name]).label(column.name) for column in user),
            *(func.sum(both.c[name]).label(name) for name in names),
        )
        .group_by(both.c.user_pk)
        .cte("outcomes")
    )


def _event_columns(group: MetricGroup, *, exact: bool) -> list[Label[Any]]:
    e = EVENTS.c
    assigned, at = micros(ASSIGNMENTS.c.assigned_at), micros(e.at)
    columns: list[Label[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        unusable: list[ColumnElement[Any]] = []
        for letter, part in metric.quantities.items():
            if part.event is None:
                continue
            counts: list[ColumnElement[bool]] = []
            if len(group.events) > 1:
                counts.append(e.name == part.event)
            where = holds(part.where, e.properties)
            if where is not None:
                # What is said of a property that is absent must not be true of an event that is absent.
                counts += [e.id.is_not(None), where]
            # Without a covariate the join itself leaves nothing but the window.
            after = [] if group.longest_covariate is None else [at >= assigned]
            if metric.after is not None:
                after = [at >= assigned + metric.after // MICROSECOND]
            columns.append(_of_events(metric, part, [*after, *counts], exact=exact).label(f"{letter}{i}"))
            since = after
            if metric.covariate is not None:
                since = [at >= assigned - metric.covariate // MICROSECOND]
                name = "p" if metric.kind == MetricKind.RATIO and letter == "y" else _BEFORE[letter]
                columns.append(
                    _of_events(metric, part, [*since, at < assigned, *counts], exact=exact).label(
                        f"{name}{i}"
                    )
                )
            if part.value is not None and exact:
                unusable.append(case((_all(*since, *counts), UnusableIn(e.properties, part.value)), else_=0))
        if unusable:
            total = unusable[0] if len(unusable) == 1 else unusable[0] + unusable[1]
            columns.append(func.sum(total).label(f"bad{i}"))
    return columns


def _of_events(
    metric: MetricDefinition, part: QuantityFields, counts: Sequence[ColumnElement[bool]], *, exact: bool
) -> ColumnElement[float]:
    """What the joined events amount to for one user, over those for which all of `counts` holds."""
    if part.value is None:
        return _of_rows(metric, part, _all(*counts))
    number = (NumberIn if exact else MarkedNumberIn)(EVENTS.c.properties, part.value)
    amount = case((_all(*counts), number), else_=_double(0))
    return func.coalesce(func.sum(amount), _double(0), type_=Double())


def _message_columns(group: MetricGroup, end: ColumnElement[int]) -> list[Label[Any]]:
    columns: list[Label[Any]] = []
    for i, (_, metric) in enumerate(group.metrics):
        for letter, part in metric.quantities.items():
            if part.message is None:
                continue
            counts = stage_before(part.message, end)
            columns.append(_of_rows(metric, part, counts).label(f"{letter}{i}"))
    return columns


def stage_before(stage: MessageStage, end: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a message got so far before `end`."""
    m = MESSAGES.c
    reached = or_(*(micros(m[column]) < end for column in moments_of(stage)))
    if stage == MessageStage.BLOCKED:
        return and_(m.state == str(MessageState.SUPPRESSED), m.reason.in_(BLOCKED_REASONS), reached)
    if stage == MessageStage.FAILED:
        now = and_(
            or_(m.state == str(MessageState.FAILED), m.reason.in_(FAILED_REASONS)), micros(m.failed_at) < end
        )
        # A further try may have gone well; that the first one failed is true all the same.
        return or_(now, micros(m.first_failed_at) < end)
    return reached


def moments_of(stage: MessageStage) -> Sequence[str]:
    """The columns of a message of which one is set once it got so far."""
    if stage == MessageStage.FAILED:
        return ("first_failed_at", "failed_at")
    return ("failed_at",) if stage == MessageStage.BLOCKED else STAGES[stage]


def _of_rows(
    metric: MetricDefinition, part: QuantityFields, counts: ColumnElement[bool]
) -> ColumnElement[float]:
    if metric.is_share:
        return cast(func.max(case((counts, 1), else_=0)), Double)
    number = cast(func.sum(case((counts, 1), else_=0)), Double)
    return number if part.price is None else number * _double(part.price)


def _all(*counts: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(*counts) if counts else EVENTS.c.id.is_not(None)


def _with_marks(group: MetricGroup, found: CTE) -> CTE:
    flags = []
    for i, (_, metric) in enumerate(group.metrics):
        letters = [letter for letter, part in metric.quantities.items() if part.value is not None]
        names = [
            f"{name}{i}"
            for letter in letters
            for name in (letter, _BEFORE[letter], "p" if letter == "y" else "q")
        ]
        marked = [found.c[name] > _double(MARK / 2) for name in dict.fromkeys(names) if name in found.c]
        if marked:
            flags.append(case((or_(*marked), 1), else_=0).label(f"bad{i}"))
    return select(*found.c, *flags).cte("marked") if flags else found


def _capped(group: MetricGroup, found: CTE) -> CTE:
    """The same rows, with every quantity that has a cap cut there: by a number, by a quantile of all users, or the lower."""
    caps = {
        name: part.cap
        for i, (_, metric) in enumerate(group.metrics)
        for letter, part in metric.quantities.items()
        if part.cap is not None
        for name in (f"{letter}{i}", f"{_BEFORE[letter]}{i}", f"p{i}" if letter == "y" else "")
        if name in found.c
    }
    if not caps:
        return found
    by_rank = {name: cap.quantile for name, cap in caps.items() if cap.quantile is not None}
    limits: dict[str, list[ColumnElement[Any]]] = {name: [] for name in caps}
    if by_rank:
        ranked = select(
            func.count().over().label("n"),
            *(found.c[name] for name in by_rank),
            *(func.row_number().over(order_by=found.c[name]).label(f"rank_{name}") for name in by_rank),
        ).cte("ranked_for_caps")
        cuts = select(
            *(
                func.min(
                    case((ranked.c[f"rank_{name}"] >= _double(share) * ranked.c.n, ranked.c[name]))
                ).label(name)
                for name, share in by_rank.items()
            )
        ).cte("caps")
        # As scalar subqueries they are computed once; joined, a planner that expects few users computes them for each.
        for name in by_rank:
            limits[name].append(select(cuts.c[name]).scalar_subquery())
    for name, cap in caps.items():
        if cap.value is not None:
            limits[name].append(_double(cap.value))
    columns: list[ColumnElement[Any]] = []
    for column in found.c:
        cut: ColumnElement[Any] = column
        for limit in limits.get(column.name, ()):
            cut = case((cut > limit, limit), else_=cut)
        columns.append(cut.label(column.name))
    return select(*columns).cte("capped")


def _with_ratio_covariates(group: MetricGroup, found: CTE) -> CTE:
    """The same rows, with the covariate of each ratio: p - R q, R the ratio of all users' totals before the assignment.

    That is what the ratio's own outcome looks like once it is linearised (`linearise_ratio`), so that the two resemble each
    other as much as they can. R is of all variants together, so it tells nothing about any of them.
    """
    ratios = [i for i in range(len(group.metrics)) if f"q{i}" in found.c]
    if not ratios:
        return found
    totals = [func.sum(found.c[f"q{i}"]) for i in ratios]
    rates = select(
        *(
            case(
                (func.abs(total) > _double(LEAST_TOTAL), func.sum(found.c[f"p{i}"]) / total), else_=_double(0)
            ).label(f"rate{i}")
            for i, total in zip(ratios, totals, strict=True)
        )
    ).cte("rates")
    made = {f"{letter}{i}" for i in ratios for letter in "pq"}
    return select(
        *(column for column in found.c if column.name not in made),
        *(
            (found.c[f"p{i}"] - rate * found.c[f"q{i}"]).label(f"x{i}")
            for i in ratios
            for rate in (select(rates.c[f"rate{i}"]).scalar_subquery(),)
        ),
    ).cte("with_covariates")


def _end(window: timedelta) -> ColumnElement[int]:
    return micros(ASSIGNMENTS.c.assigned_at) + window // MICROSECOND


def _double(value: float) -> ColumnElement[float]:
    return cast(literal(value), Double)
