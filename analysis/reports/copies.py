"""What a report must allow for when its facts come from a copy that was made some time ago. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from analysis.facts.engines import FactsCopy, FactsEngine
from analysis.warehouse.tables import SETTING, Copied
from experiments.clock import format_moment
from experiments.errors import Unavailable
from experiments.metrics import MetricDefinition
from targeting.models import Enrolment

OLD: Final = timedelta(hours=1)
"""A copy older than this is told of."""


def copied_by(engine: FactsEngine | None) -> Copied | None:
    """How far the copy of an engine reaches; None for a database that is read as it is."""
    return engine.copied() if isinstance(engine, FactsCopy) else None


def known_until(copied: Copied | None, as_of: datetime) -> datetime:
    """The moment of which facts can be told: a window that has closed since the copy was made is still open in it.

    Counted as closed, users would be missing the events that the copy does not know of.
    """
    if copied is None or copied.until is None:
        return as_of
    return min(copied.until, as_of)


def told(
    copied: Copied | None, *, as_of: datetime, begun: datetime, definitions: Mapping[str, MetricDefinition]
) -> tuple[str, ...]:
    """What a reader must know of the copy. Raises Unavailable when it lacks outcomes of an experiment begun at `begun`.

    An old copy is told of by its moment and not by its age, so that the same report says the same an hour later. Where older
    events were left out, covariates that look back less far are still from before the assignment, so CUPED stays true;
    an outcome without its events is false.
    """
    if copied is None:
        return ()
    if copied.until is None:
        return (f"the copy of the facts that {SETTING} names is empty",)
    said = []
    if as_of - copied.until > OLD:
        said.append(
            f"data as of {format_moment(copied.until)}: the facts come from a copy ({SETTING}), and nothing newer is counted; "
            "export it anew"
        )
    if copied.since is None:
        return tuple(said)
    since = format_moment(copied.since)
    if copied.since > begun:
        raise Unavailable(
            f"the copy of the facts that {SETTING} names holds events since {since} only, and this experiment began "
            f"{format_moment(begun)}: export it anew with an earlier --since"
        )
    longest = max((metric.covariate for metric in definitions.values() if metric.covariate), default=None)
    if longest is not None and begun - longest < copied.since:
        said.append(f"covariates look back to {since} only, where the copy of the facts ({SETTING}) begins")
    return tuple(said)


def assigned_by_now(enrolment: Enrolment | None) -> int:
    """How many users enrolment has assigned by now, whatever the copy knows of them."""
    return 0 if enrolment is None else int(enrolment.counts.get("assigned", 0))
