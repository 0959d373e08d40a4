"""What `POST /v1/plan` says of the guards of a campaign, as sentences for a page. Pure."""

from collections.abc import Mapping
from typing import Any

from dashboard import formats, values
from dashboard.campaign.documents import at, items_at
from dashboard.campaign.plan_answers import percent_words
from dashboard.texts import say


def guard_sentences(plan: Mapping[str, Any]) -> list[str]:
    """Each guard in a few sentences: in how many campaigns it stops a harmful variant in time, and how many people that would take."""
    return [" ".join(_of(guard)) for guard in items_at(plan, ("guards",))]


def guard_reasons(plan: Mapping[str, Any]) -> list[str]:
    """What the API has to say about them beside: why something cannot be told, or is so late."""
    return [str(reason) for guard in items_at(plan, ("guards",)) for reason in items_at(guard, ("reasons",))]


def _of(guard: Any) -> list[str]:
    people, stopped, needed = (
        values.number(at(guard, (name,))) for name in ("people", "stopped_early", "people_needed")
    )
    source = str(at(guard, ("base_source",)))
    rates = {name: percent_words(at(guard, (name,))) for name in ("base", "harmful", "early", "wanted")}
    name = "silent" if source == "silent" else "doubled"
    told = [say(f"planner.guards.{name}", base=rates["base"], harmful=rates["harmful"])]
    if people is not None and stopped is not None:
        told.append(
            say(
                "planner.guards.stopped",
                early=rates["early"],
                people=formats.count(int(people)),
                share=percent_words(round(stopped, 2)),
            )
        )
    if needed is not None:
        told.append(say("planner.guards.needed", people=formats.count(int(needed)), wanted=rates["wanted"]))
    if source == "assumed":
        told.append(say("planner.guards.assumed", base=rates["base"]))
    return told
