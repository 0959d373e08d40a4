"""A rule in plain English, for the people who switch it on."""

from experiments.clock import format_duration, format_moment
from targeting.conditions import describe
from targeting.rules.definitions import (
    Action,
    AddTag,
    AttributeTrigger,
    Enrol,
    EventTrigger,
    InactivityTrigger,
    RemoveTag,
    RuleDefinition,
    Trigger,
)


def say_rule(rule: RuleDefinition) -> str:
    """`When Order Completed happens: if country is NL, enrol in spring; at most once in 7d`."""
    actions = " and ".join(say_action(action) for action in rule.actions)
    condition = f"if {describe(rule.condition)}, " if rule.condition else ""
    return "; ".join([f"{say_trigger(rule.trigger)}: {condition}{actions}", *say_limits(rule)])


def say_limits(rule: RuleDefinition) -> list[str]:
    """How often it fires for one user, and from when until when."""
    limits = ["once per user"] if rule.once_per_user else []
    limits += [f"at most once in {format_duration(rule.cool_down)}"] if rule.cool_down else []
    limits += [f"from {format_moment(rule.since)}"] if rule.since else []
    limits += [f"until {format_moment(rule.until)}"] if rule.until else []
    return limits


def say_trigger(trigger: Trigger) -> str:
    if isinstance(trigger, EventTrigger):
        which = f" of which {describe(trigger.properties)}" if trigger.properties else ""
        return f"When {trigger.event} happens{which}"
    if isinstance(trigger, AttributeTrigger):
        sides = (("before", trigger.from_), ("after", trigger.to))
        said = [
            f"{side}: {describe({trigger.attribute: wanted})}" for side, wanted in sides if wanted is not None
        ]
        return f"When {trigger.attribute} changes" + (f" ({'; '.join(said)})" if said else "")
    if isinstance(trigger, InactivityTrigger):
        what = f"has not done {trigger.event} again" if trigger.event else "has not been seen"
        return f"When a user {what} for {format_duration(trigger.after)}"
    return f"At {trigger.cron} ({trigger.time_zone})"


def say_action(action: Action) -> str:
    if isinstance(action, Enrol):
        return f"enrol in {action.experiment}"
    if isinstance(action, AddTag):
        return f"add the tag {action.tag}"
    if isinstance(action, RemoveTag):
        return f"remove the tag {action.tag}"
    return f"remove {action.name}" if action.value is None else f"set {action.name} to {action.value!r}"
