"""Why somebody was sent a message, why not, and when next: for one user, experiment by experiment.

Nothing is stored for this: it is worked out from the rows as they are, with the very conditions that enrolment and sending
use, so that it says what would happen now. Reads only, and takes no lock.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlmodel import Session

from delivery.fuses import breakers
from delivery.limits import policy
from delivery.limits.eligibility import Eligibility, next_eligible_at
from delivery.limits.standing import Rule
from delivery.local_time import zone_of
from delivery.models import Breaker, Message
from delivery.planning import planner
from delivery.planning.schedule import due_times, trigger_moment
from delivery.watch import why_repository as repository
from delivery.watch.remedies import Explained, explain
from delivery.watch.why_not import ENTERING, EXCLUDED, entry, next_occasion
from delivery.watch.why_words import (
    moment,
    of_assignment,
    of_exclusion,
    of_exclusions,
    of_message,
    of_waiting,
)
from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock, SteppedClock
from experiments.design import ExperimentDesign
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import WAITING_STATES, ExperimentStatus, MessageState
from targeting import exclusions, users
from targeting.models import Assignment, User

MOST_EXPERIMENTS: Final = 50
MOST_MESSAGES: Final = 60
_RULES: Final = frozenset(Rule)
_TIMES: Final = (
    *("slot_at", "accepted_at", "sent_at", "delivered_at", "read_at", "clicked_at"),
    *("failed_at", "first_failed_at"),
)


@dataclass(frozen=True, slots=True)
class Why:
    """All answers about one user. `more`: there are more experiments than are told; ask for one by its key."""

    user_id: str
    at: datetime
    more: bool
    experiments: tuple["ExperimentWhy", ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON, field by field."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ExperimentWhy:
    """One experiment. `outcome` is one word (docs/http.md), `because` the sentences; `next_at`: when something happens next.

    `excluded_by`: what would keep the user out now, with a sentence each; `assignment` is null for who does not take part.
    """

    experiment: str
    status: str
    outcome: str
    because: str
    next_at: datetime | None = None
    excluded_by: tuple[dict[str, Any], ...] = ()
    assignment: dict[str, Any] | None = None
    messages: tuple["MessageWhy", ...] = ()


@dataclass(frozen=True, slots=True)
class MessageWhy:
    """One message. `next_at`: the first moment at which it may go out, None when there is none or it has gone; `rules`: what
    each rule on caps and hours says by itself. `held_by`: fuses and pauses. `times`: when it went through which stage.
    """

    id: int
    step: int
    state: str
    because: str
    reason: str | None
    error: Explained | None
    first_due_at: datetime
    due_at: datetime
    expires_at: datetime
    next_at: datetime | None
    held_by: tuple[str, ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    choice: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None
    times: dict[str, datetime] = field(default_factory=dict)


def why(session: Session, clock: Clock, *, user_id: str, experiment: str | None, settings: Settings) -> Why:
    """One experiment, or (None) those that the user takes part in or that are not over, the newest first.

    Raises NotFound for an unknown user or experiment. Call it in a snapshot.
    """
    user = users.find(session, user_id=user_id)
    if experiment is not None:
        chosen = [experiment_repository.get_experiment(session, experiment)]
    else:
        chosen = list(repository.experiments_for(session, _id(user), limit=MOST_EXPERIMENTS + 1))
    asked = _Asked(session, clock, settings, user)
    return Why(
        user_id=user.user_id,
        at=asked.now,
        more=len(chosen) > MOST_EXPERIMENTS,
        experiments=tuple(asked.about(each) for each in chosen[:MOST_EXPERIMENTS]),
    )


class _Asked:
    """Questions about one user at one moment."""

    def __init__(self, session: Session, clock: Clock, settings: Settings, user: User) -> None:
        self.session, self.settings, self.user = session, settings, user
        self.now = clock.now()
        # What is asked takes a moment; all of it is said of the same one.
        self.clock = SteppedClock(self.now)
        self.zone: tzinfo = zone_of(user.time_zone)
        self.policy = policy.current(session, settings)
        self.fuses = breakers.open_breakers(session, clock)

    def about(self, experiment: Experiment) -> ExperimentWhy:
        design = service.design_of(experiment)
        assignment = repository.assignment_of(
            self.session, experiment_id=_id(experiment), user_pk=_id(self.user)
        )
        if assignment is None:
            return self._without(experiment, design)
        return self._with(experiment, design, assignment)

    def _without(self, experiment: Experiment, design: ExperimentDesign) -> ExperimentWhy:
        found = exclusions.exclusions(
            self.session,
            self.clock,
            experiment=experiment,
            user=self.user,
            ineligible=planner.ineligible(design, policy=self.policy, now=self.now),
            global_holdout=self.settings.global_holdout,
        )
        outcome, because, next_at = entry(self.session, experiment, design, now=self.now, zone=self.zone)
        if found and outcome in ENTERING:
            outcome, because, next_at = EXCLUDED, f"Left out, because {of_exclusions(found)}.", None
        elif found:
            because += f" They would be left out now, because {of_exclusions(found)}."
        return ExperimentWhy(
            experiment=experiment.key,
            status=experiment.status,
            outcome=outcome,
            because=because,
            next_at=next_at,
            excluded_by=tuple(
                {"reason": each.reason, "details": list(each.details), "because": of_exclusion(each)}
                for each in found
            ),
        )

    def _with(
        self, experiment: Experiment, design: ExperimentDesign, assignment: Assignment
    ) -> ExperimentWhy:
        variant = design.variant(assignment.variant)
        rows = repository.messages_of(
            self.session, experiment_id=_id(experiment), user_pk=_id(self.user), limit=MOST_MESSAGES
        )
        first = next((row.id for row in rows if row.state in WAITING_STATES), None)
        messages = tuple(self._message(row, experiment, design, is_next=row.id == first) for row in rows)
        following = [each.next_at for each in messages if each.next_at is not None]
        next_at = min(following, default=None)
        said = [of_assignment(assignment, self.zone)]
        if variant.message is None:
            outcome = "silent"
            said.append("That variant sends nothing, on purpose: it is what the others are compared with.")
        elif not rows and assignment.planned_at is None:
            outcome, next_at = "not_planned_yet", self._expected(experiment, design, assignment)
            said.append("Its messages are planned at one of the next ticks.")
        elif not rows:
            outcome = "nothing_planned"
            said.append("No message was planned, since there was no occasion left for one.")
        else:
            outcome = "waiting" if first is not None else str(rows[-1].state)
            shown = next(each for each in messages if each.id == (first or rows[-1].id))
            said.append(f"Message {shown.step + 1}: {shown.because}")
        if experiment.status == ExperimentStatus.RUNNING:
            occasion = next_occasion(experiment, design, now=self.now)
            if occasion is not None:
                said.append(f"The next occasion is on {moment(occasion, self.zone)}.")
                next_at = next_at or (occasion if variant.message is not None else None)
        return ExperimentWhy(
            experiment=experiment.key,
            status=experiment.status,
            outcome=outcome,
            because=" ".join(said),
            next_at=next_at,
            assignment={
                name: getattr(assignment, name)
                for name in ("variant", "epoch", "propensity", "source", "forced", "assigned_at")
            },
            messages=messages,
        )

    def _expected(
        self, experiment: Experiment, design: ExperimentDesign, assignment: Assignment
    ) -> datetime | None:
        """When the first message will be due, where that does not depend on a draw."""
        if experiment.status != ExperimentStatus.RUNNING:
            return None
        start = trigger_moment(design.trigger, assigned_at=assignment.assigned_at, zone=self.zone)
        return next(iter(due_times(design.variant(assignment.variant), start=start, zone=self.zone)), None)

    def _message(
        self, row: Message, experiment: Experiment, design: ExperimentDesign, *, is_next: bool
    ) -> MessageWhy:
        waits = row.state in WAITING_STATES
        # A message that failed has the class of its error as its reason.
        decided = row.reason if row.state == MessageState.FAILED else None
        troubled = row.error_code is not None and row.accepted_at is None
        error = explain(row.error_code, error_class=decided) if troubled or decided else None
        next_at, reason, rules, held_by = row.due_at if waits else None, None, [], []
        if waits:
            held_by = self._held_by(row, experiment, design)
        if waits and is_next:
            # Asked of the moment at which it is due: rules that hold now may have let go by then, and the other way round.
            eligible = self._eligible(row, design, at=max(self.now, row.due_at))
            next_at, reason = eligible.at, eligible.reason
            rules = [{"rule": rule, "at": at} for rule, at in eligible.rules]
        free_at = None
        if waits and is_next and row.due_at > self.now and row.reason in _RULES:
            free_at = self._eligible(row, design, at=self.now).at
        words = (
            of_waiting(row, next_at=next_at, reason=reason, held_by=held_by, zone=self.zone, free_at=free_at)
            if waits
            else of_message(row, error, self.zone)
        )
        return MessageWhy(
            id=_id(row),
            step=row.step,
            state=row.state,
            because=words,
            reason=row.reason,
            error=error,
            first_due_at=row.first_due_at,
            due_at=row.due_at,
            expires_at=row.expires_at,
            next_at=next_at,
            held_by=tuple(held_by),
            rules=tuple(rules),
            choice=row.choice,
            decision=row.decision,
            times={name: at for name in _TIMES if (at := getattr(row, name)) is not None},
        )

    def _eligible(self, row: Message, design: ExperimentDesign, *, at: datetime) -> Eligibility:
        return next_eligible_at(
            self.session,
            SteppedClock(at),
            user_pk=row.user_pk,
            category=row.category,
            settings=self.settings,
            experiment_id=row.experiment_id,
            variant=design.variant(row.variant),
        )

    def _held_by(self, row: Message, experiment: Experiment, design: ExperimentDesign) -> list[str]:
        held = [
            f"{_fuse(fuse)} ({fuse.reason})"
            for fuse in self.fuses
            if fuse.kind in (breakers.Kind.ALL, breakers.Kind.NUMBER)
            or (row.experiment_id, row.variant)
            in breakers.blocked_variants({_id(experiment): design}, frozenset({(fuse.kind, fuse.key)}))
        ]
        if experiment.status == ExperimentStatus.PAUSED:
            held.insert(0, "the experiment is paused until somebody resumes it")
        return held


def _fuse(fuse: Breaker) -> str:
    what = {
        breakers.Kind.ALL: "everything is paused",
        breakers.Kind.NUMBER: "the number is stopped",
        breakers.Kind.TEMPLATE: f"template {fuse.key} is stopped",
        breakers.Kind.VARIANT: f"variant {fuse.key} is stopped",
        breakers.Kind.GUARD: f"nobody would see whether messages of {fuse.key} do harm",
    }[breakers.Kind(fuse.kind)]
    return what if fuse.until is None else f"{what} until {fuse.until:%Y-%m-%d %H:%M:%S} UTC"


def _id(row: User | Experiment | Message) -> int:
    assert row.id is not None  # noqa: S101  # a stored row has an id
    return row.id
