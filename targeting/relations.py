"""What experiments ask of each other: prerequisites, and ranges of one layer."""

from collections.abc import Iterator
from typing import Final

from sqlmodel import Session

from experiments import repository, service
from experiments.design import ExperimentDesign, Prerequisite
from experiments.errors import Conflict, Problem
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus

LIVE: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)


def prerequisite_problems(
    session: Session, design: ExperimentDesign, *, starting: bool = False
) -> list[Problem]:
    """What is wrong with the prerequisites of a design: an experiment or variant that is not there, or a circle.

    starting: an experiment that was never started is wrong too, because nobody has a variant of it.
    """
    asked = design.audience.prerequisites
    stored = {each.key: each for each in repository.with_keys(session, [each.experiment for each in asked])}
    problems = [
        problem
        for i, each in enumerate(asked)
        if each.experiment != design.key  # the design itself refuses that
        for problem in _problems(f"audience.prerequisites[{i}]", each, stored.get(each.experiment), starting)
    ]
    for i, each in enumerate(asked):
        circle = _way_back(session, each.experiment, design.key) if each.experiment != design.key else []
        if circle:
            problems.append(
                Problem(
                    f"audience.prerequisites[{i}].experiment",
                    f"makes a circle, so nobody could ever take part: {' needs '.join([design.key, *circle])}",
                )
            )
    return problems


def peers_of(session: Session, experiment: Experiment) -> list[tuple[Experiment, ExperimentDesign]]:
    """The other experiments of the same layer that are not stopped, with their designs."""
    layer = service.design_of(experiment).audience.layer
    if layer is None:
        return []
    others = ((other, service.design_of(other)) for other in repository.with_status(session, *LIVE))
    return [
        (other, design)
        for other, design in others
        if other.id != experiment.id and design.audience.layer and design.audience.layer.key == layer.key
    ]


def check_layer(session: Session, experiment: Experiment) -> None:
    """Raise Conflict when the range of the layer overlaps that of an experiment that is not stopped."""
    layer = service.design_of(experiment).audience.layer
    for other, design in peers_of(session, experiment):
        theirs = design.audience.layer
        if layer and theirs and theirs.range and layer.overlaps(theirs):
            start, end = theirs.range
            raise Conflict(
                f"overlaps [{start:g}, {end:g}) of layer {layer.key!r}, which experiment {other.key!r} has while it is "
                f"{other.status}; take another range, or stop that one first",
                field="audience.layer.range",
            )


def _problems(path: str, asked: Prerequisite, found: Experiment | None, starting: bool) -> Iterator[Problem]:
    if found is None:
        yield Problem(f"{path}.experiment", f"there is no experiment {asked.experiment!r}")
        return
    if starting and found.started_at is None:
        yield Problem(
            f"{path}.experiment",
            f"{asked.experiment!r} was never started, so nobody has a variant of it; start it first",
        )
    known = [variant.key for variant in service.design_of(found).variants]
    for j, key in enumerate(asked.variants):
        if key not in known:
            yield Problem(
                f"{path}.variants[{j}]",
                f"{asked.experiment!r} has no variant {key!r}; it has {', '.join(known)}",
            )


def _way_back(session: Session, start: str, goal: str) -> list[str]:
    """The shortest chain of prerequisites from `start` to `goal`; empty when there is none. One query a step."""
    chains = {start: [start]}
    frontier = [start]
    while frontier:
        following: list[str] = []
        for experiment in repository.with_keys(session, frontier):
            for each in service.design_of(experiment).audience.prerequisites:
                if each.experiment not in chains:
                    chains[each.experiment] = [*chains[experiment.key], each.experiment]
                    following.append(each.experiment)
        if goal in chains:
            return chains[goal]
        frontier = following
    return []
