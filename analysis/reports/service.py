"""Reports of experiments: make one, keep it, find the newest. Each kept report is a look at the data.

`prepare` only reads, `keep` writes one row. `refresh_report` does both in the caller's transaction; `current_report` and `refresh_tick`
read in a snapshot, so that a long computation never holds SQLite's write lock.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import Session

from analysis.facts import facts as fact_queries
from analysis.facts.compliance_facts import primary_compliance
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.facts.epoch_facts import EpochSums, gather_epochs
from analysis.facts.unit_facts import gather_units, shared_by
from analysis.inputs import AnalysisPlan, FactorSpec, MetricSpec
from analysis.reports import cautions, copies, repository
from analysis.reports.arms import arms_of, primary_metric
from analysis.reports.evidence import Evidence, ReportInputs
from analysis.reports.models import StoredReport
from analysis.reports.variances import variances_until
from experiments.arms import active_arms
from experiments.clock import Clock
from experiments.database import Database
from experiments.design import ExperimentDesign
from experiments.errors import Conflict, TouchstoneError
from experiments.models import Epoch, Experiment
from experiments.repository import get_experiment
from experiments.service import design_of
from experiments.stopped_arms import stopped_arms
from experiments.vocabulary import ExperimentStatus, MetricRole
from targeting.enrolment import closed_since, is_walked_once
from targeting.models import Enrolment
from targeting.repository import highest_user
from targeting.waves import waiting_in

LOOK_EVERY: Final = timedelta(hours=1)
"""How often the scheduler looks. More often costs alpha-spending looks and tells nobody more."""
SMALLEST_STEP: Final = 1e-3
"""Looks closer together than this share of the information count as one. Their statistics have a correlation above
0.9995, while counting thousands of them would make every report slow (the boundaries are integrated look by look)."""
MEDIAN: Final = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A report that is not kept yet. previous_id: the newest kept report when it was made."""

    experiment_id: int
    key: str
    as_of: datetime
    information: float
    evidence: Evidence
    previous_id: int | None

    @property
    def body(self) -> Mapping[str, Any]:
        """The report as JSON."""
        return self.evidence.body


def refresh_report(
    session: Session, clock: Clock, *, key: str, facts: FactsEngine | None = None
) -> StoredReport:
    """Make a report as of now and keep it.

    facts: where the facts are read; the database of `session` by default. Raises NotFound, or Conflict for a draft.
    """
    return keep(session, prepare(session, clock, key=key, facts=facts))


def current_report(
    database: Database, clock: Clock, *, key: str, max_age: timedelta, facts: FactsEngine | None = None
) -> StoredReport:
    """The newest kept report when it is no older than `max_age`, else a new one. Raises as `refresh_report` does.

    Opens its own transactions, like `refresh_tick`: what takes long only reads.
    """
    with database.snapshot() as session:
        experiment = _started(session, key)
        newest = repository.newest_report(session, _id(experiment))
        if newest is not None and clock.now() - newest.as_of <= max_age:
            return newest
        look = prepare(session, clock, key=key, facts=facts)
    with database.transaction() as session:
        return keep(session, look)


def refresh_tick(
    database: Database, clock: Clock, *, facts: FactsEngine | None = None, every: timedelta = LOOK_EVERY
) -> int:
    """Make a new report of each started experiment whose newest one is older than `every`; returns how many.

    Once nobody is drawn any more (it was stopped, or has shipped, or its whole audience was met) and the last window has closed, a report
    is final, and no other is made. One experiment that fails does not keep the
    others from their reports; its error is raised when they are done.
    """
    now = clock.now()
    with database.snapshot() as session:
        due = [
            experiment.key
            for experiment, progress, last in repository.started_experiments(session)
            if is_due(experiment, progress, last=last, now=now, every=every)
        ]
    failure: TouchstoneError | None = None
    made = 0
    for key in due:
        try:
            with database.snapshot() as session:
                look = prepare(session, clock, key=key, facts=facts)
        except TouchstoneError as error:
            _log.warning("no report of %s: %s", key, error)
            failure = failure or error
            continue
        with database.transaction() as session:
            keep(session, look)
        made += 1
    if failure is not None:
        raise failure
    return made


def is_due(
    experiment: Experiment,
    progress: Enrolment | None,
    *,
    last: datetime | None,
    now: datetime,
    every: timedelta,
) -> bool:
    """Whether a started experiment, looked at for the last time at `last`, should be looked at again."""
    if last is None:
        return True
    if now - last < every:
        return False
    design = design_of(experiment)
    ended = drawn_until(experiment) or closed_since(experiment, design, progress, now=now)
    longest = max(metric.window for metric in design.metric_definitions().values())
    return ended is None or last < ended + longest


def prepare(session: Session, clock: Clock, *, key: str, facts: FactsEngine | None = None) -> Look:
    """Make a report as of now without keeping it; only reads. The same data and time give the same report.

    Raises NotFound, or Conflict for an experiment that was never started.
    """
    experiment = _started(session, key)
    experiment_id = _id(experiment)
    design = design_of(experiment)
    as_of = clock.now()
    copied = copies.copied_by(facts)
    known_until = copies.known_until(copied, as_of)
    of_the_copy = copies.told(
        copied, as_of=as_of, begun=experiment.started_at or as_of, definitions=design.metric_definitions()
    )
    found = fact_queries.gather(
        facts or SessionFacts(session),
        experiment_id=experiment_id,
        definitions=design.metric_definitions(),
        as_of=known_until,
    )
    compliance = primary_compliance(
        facts or SessionFacts(session), design, found, experiment_id=experiment_id, as_of=known_until
    )
    assigned = sum(sum(arm.assigned.values()) for arm in found.arms.values())
    enrolment = repository.enrolment_of(session, experiment_id)
    comes_at_once = is_walked_once(design)
    entered_until = closed_since(experiment, design, enrolment, now=as_of)
    is_over = experiment.status == ExperimentStatus.STOPPED or entered_until is not None
    if copied is not None:
        ended_at = drawn_until(experiment) or entered_until
        is_over = is_over and ended_at is not None and ended_at <= known_until
    # Those whom a copy does not know of yet are to come.
    everybody_is_in = copied is None or experiment.shipped_at is not None
    joined = assigned if everybody_is_in else max(assigned, copies.assigned_by_now(enrolment))
    expected = expected_users(joined, enrolment, is_over=is_over, highest_user=highest_user(session))
    mature = {key: sum(arm.n for arm in by_variant.values()) for key, by_variant in found.metrics.items()}
    newest = repository.newest_report(session, experiment_id)
    primary = primary_metric(design)
    # Nobody knows how many users will come by and by, so there is no planned end and no share of it.
    information = (
        information_fraction(mature[primary], expected, known=newest.information if newest else 0.0)
        if comes_at_once
        else 0.0
    )
    epochs = repository.epochs_of(session, experiment_id)
    weights_changed = cautions.have_weights_changed(found, epochs)
    by_epoch: EpochSums = {}
    if weights_changed:
        by_epoch = gather_epochs(
            facts or SessionFacts(session),
            experiment_id=experiment_id,
            definitions=design.metric_definitions(),
            as_of=known_until,
        )
    together, units = shared_by(design), None
    if together:
        # Attributes are in no copy of the facts.
        units = gather_units(
            SessionFacts(session),
            experiment_id=experiment_id,
            attributes=together,
            as_of=known_until,
        )
    rules = design.plan.rules
    plan = AnalysisPlan(
        method=design.plan.method,
        alpha=design.plan.alpha,
        planned_n=(expected or None) if comes_at_once else None,
        information=information if comes_at_once else None,
        looks=earlier_looks(repository.informations(session, experiment_id), information),
        ended=is_over and min(mature.values()) == assigned,
        closed=is_over,
        minimum_effect=design.plan.mde,
        minimum_users=rules.min_users,
        minimum_weeks=rules.min_weeks,
        run_time=run_time(experiment, as_of),
        stopped=experiment.status == ExperimentStatus.STOPPED,
        power=design.plan.power,
        stop_at_power=rules.stop_at_power,
        futility=rules.futility,
        quiet_guardrails=tuple(
            use.key
            for use in design.metrics
            if use.role == MetricRole.GUARDRAIL and not rules.stops_for(use.key)
        ),
        weights_changed=weights_changed,
        variances=variances_until(newest) if comes_at_once else None,
        stopped_arms={variant: told["reason"] for variant, told in stopped_arms(experiment).items()},
        retired_arms=_retired(experiment, epochs),
    )
    inputs = ReportInputs(
        experiment=experiment.key,
        as_of=as_of,
        plan=plan,
        metrics=metric_specs(design),
        arms=arms_of(design, found, epochs=epochs, compliance=compliance, by_epoch=by_epoch, units=units),
        factors=tuple(
            FactorSpec(key=factor.key, levels=tuple(level.key for level in factor.levels))
            for factor in design.factors
        ),
        checks=cautions.changed_weights(design, found, epochs),
        warnings=(
            *of_the_copy,
            *found.warnings,
            *cautions.shipped(experiment),
            *cautions.shared_units(design),
            *cautions.open_windows(design, primary=primary, mature=mature, assigned=assigned),
        ),
    )
    return Look(
        experiment_id=experiment_id,
        key=key,
        as_of=as_of,
        information=information,
        evidence=Evidence.of(inputs, specification=design.model_dump(mode="json")),
        previous_id=newest.id if newest else None,
    )


def _retired(experiment: Experiment, epochs: Sequence[Epoch]) -> tuple[str, ...]:
    """Variants without users to come that were not stopped; none once one was shipped, for then nobody is drawn into any."""
    if experiment.shipped_at is not None or not epochs:
        return ()
    still = {*active_arms(epochs[-1].weights), *stopped_arms(experiment)}
    return tuple(variant for variant in epochs[-1].weights if variant not in still)


def keep(session: Session, look: Look) -> StoredReport:
    """Store a look, and return it.

    When somebody else has looked since it was prepared, theirs is returned and ours was never shown, so that it does
    not count as a look. When nothing but the time has changed within LOOK_EVERY, ours is returned without being stored,
    so that a page that is open all day does not fill the table.
    """
    get_experiment(session, look.key, for_update=True)  # one at a time
    newest = repository.newest_report(session, look.experiment_id)
    if newest is not None and newest.id != look.previous_id:
        return newest
    evidence = look.evidence
    report = StoredReport(
        experiment_id=look.experiment_id,
        as_of=look.as_of,
        information=look.information,
        body=dict(evidence.body),
        inputs=dict(evidence.inputs),
        hashes=dict(evidence.hashes),
        made_with=dict(evidence.made_with),
    )
    if newest is None or look.as_of - newest.as_of >= LOOK_EVERY or _says_something_else(look, newest):
        session.add(report)
        session.flush()
    return report


def expected_users(assigned: int, enrolment: Enrolment | None, *, is_over: bool, highest_user: int) -> int:
    """How many users will have been assigned once enrolment is over.

    Enrolment walks the users in order of their internal id, so while it runs, the users still to be looked at are taken
    to join at the rate of those before them, whatever wave they come in. A second walk, for more coverage or a later wave, knows what to expect.
    """
    if is_over or enrolment is None:
        return assigned
    if "expected" in enrolment.counts:
        return max(assigned, int(enrolment.counts["expected"]))
    if enrolment.last_user_pk <= 0:
        return assigned
    coming = assigned + waiting_in(enrolment)
    return max(assigned, round(coming * highest_user / enrolment.last_user_pk))


def information_fraction(mature: int, expected: int, *, known: float) -> float:
    """The share of the planned information that is in: mature users of the primary metric / expected users, at most 1.

    It never falls below the fraction `known` of the look before: alpha that is spent stays spent, also when the
    audience turns out larger than it seemed.

    >>> information_fraction(50, 200, known=0.1)
    0.25
    """
    return max(known, min(1.0, mature / expected) if expected else 0.0)


def earlier_looks(informations: Sequence[float], now: float) -> tuple[float, ...]:
    """The looks that count beside the one at information fraction `now`, ascending.

    Looks without information (nobody mature) had no result to show; looks less than SMALLEST_STEP apart count as one,
    and so does the last one when no more than that has come in since: the present look takes its place and boundary.

    >>> earlier_looks([0.0, 0.2, 0.2004, 0.5], 0.5)
    (0.2,)
    """
    kept: list[float] = []
    for fraction in sorted(informations):
        if fraction - (kept[-1] if kept else 0.0) >= SMALLEST_STEP and fraction <= now - SMALLEST_STEP:
            kept.append(fraction)
    return tuple(kept)


def metric_specs(design: ExperimentDesign) -> tuple[MetricSpec, ...]:
    """The metrics of a design as the report takes them."""
    definitions = design.metric_definitions()
    return tuple(
        MetricSpec(
            key=use.key,
            kind=definitions[use.key].kind,
            role=use.role,
            direction=definitions[use.key].direction,
            margin=use.margin,
            quantile=definitions[use.key].level or MEDIAN,
        )
        for use in design.metrics
    )


def run_time(experiment: Experiment, as_of: datetime) -> timedelta | None:
    """How long an experiment has run; one that was stopped or shipped ran until then."""
    if experiment.started_at is None:
        return None
    return min(as_of, drawn_until(experiment) or as_of) - experiment.started_at


def drawn_until(experiment: Experiment) -> datetime | None:
    """When an experiment was stopped or shipped, whichever came first: from then on nobody is drawn. None while it draws."""
    ends = [at for at in (experiment.stopped_at, experiment.shipped_at) if at is not None]
    return min(ends, default=None)


def _says_something_else(look: Look, newest: StoredReport) -> bool:
    return {**look.body, "as_of": None} != {**newest.body, "as_of": None}


def _started(session: Session, key: str) -> Experiment:
    experiment = get_experiment(session, key)
    if experiment.started_at is None:
        raise Conflict(f"experiment {key!r} was never started, so there is nothing to report", field="status")
    return experiment


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
