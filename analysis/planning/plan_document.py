"""The campaign that a plan or a simulation is about: checked as `apply` checks it, and stored nowhere."""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from experiments.design import ExperimentDesign
from experiments.errors import Invalid, Problem
from targeting import campaigns


def read_campaign(session: Session, document: Mapping[str, Any], *, prefix: str = "") -> ExperimentDesign:
    """The design in `document`, with metrics from the library. Raises Invalid with every problem; `prefix` stands before their paths."""
    try:
        return campaigns.read(session, document=document)
    except Invalid as error:
        if not prefix:
            raise
        problems = [Problem(f"{prefix}{one.field}".rstrip("."), one.message) for one in error.problems]
        raise Invalid.of(problems) from error
