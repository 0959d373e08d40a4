"""A kept report told by slice of its users: by the value of one attribute, or by the day of assignment.

Slices belong to a kept report: they are read as of its moment, over the same mature users, and judged by its rule. That
is why they are not looks of their own and are not stored: the alpha of that moment is spent by the report, and asking for
five attributes shows no data that came later. Read as of now instead, they would be looks that nobody counts.
Decision 0032.
"""

from sqlmodel import Session

from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.facts.slice_facts import By, gather_by, is_known
from analysis.reports import copies
from analysis.reports.evidence import read_inputs
from analysis.reports.models import StoredReport
from analysis.reports.segment_effects import segment_effects
from analysis.reports.segment_findings import SegmentReport
from experiments.database import Database
from experiments.errors import Conflict, Invalid
from experiments.repository import get_experiment
from experiments.service import design_of


def segment_report(
    database: Database, report: StoredReport, *, by: str, facts: FactsEngine | None = None
) -> SegmentReport:
    """The slices of a report, read in a snapshot of their own. Raises as `read_segments` does."""
    with database.snapshot() as session:
        return read_segments(session, report=report, by=by, facts=facts)


def read_segments(
    session: Session, *, report: StoredReport, by: str, facts: FactsEngine | None = None
) -> SegmentReport:
    """The slices of a report as of its moment; only reads.

    by: the name of an attribute, or `day`. facts: where the facts are read; the database of `session` by default, and for
    attributes that a copy does not hold.
    Raises Invalid (field `by`) for an attribute that no user of the experiment has, and Conflict for a report that does not
    say what it was made from.
    """
    slicing = By.read(by)
    if report.inputs is None:
        raise Conflict(
            "this report was made before reports kept what they were made from; make a new one",
            field="report",
        )
    inputs = read_inputs(report.inputs["data"])
    experiment = get_experiment(session, inputs.experiment)
    definitions = design_of(experiment).metric_definitions()
    copied = copies.copied_by(facts)
    # Copies hold no attributes, on purpose; the database tells them, of the users that the copy knows to be mature.
    is_lacking = copied is not None and slicing.attribute is not None
    engine = SessionFacts(session) if facts is None or is_lacking else facts
    told = copies.told(
        copied, as_of=inputs.as_of, begun=experiment.started_at or inputs.as_of, definitions=definitions
    )
    as_of = copies.known_until(copied, inputs.as_of)
    if not is_known(engine, experiment_id=report.experiment_id, by=slicing, as_of=as_of):
        raise Invalid(
            f"no user of this experiment has an attribute {by!r} that is a text, a number or a truth value; or say day",
            field="by",
        )
    slices = gather_by(
        engine, experiment_id=report.experiment_id, definitions=definitions, as_of=as_of, by=slicing
    )
    return segment_effects(inputs, slices, by=by, report=report.id, warnings=told)
