"""The tables of the delivery page: messages, what holds them back, failures, our numbers, caps, workers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import streamlit

from dashboard import formats, values
from dashboard.calls import delivery as calls
from dashboard.calls.delivery import Delivery, Number
from dashboard.delivery_charts import MOST, total
from dashboard.texts import say, told

CATEGORIES: Final = ("marketing", "utility", "authentication")
WAITING: Final = ("planned", "claimed")
ENDED: Final = ("suppressed", "failed", "expired", "cancelled")


def show_messages(seen: Delivery, words: Mapping[str, str]) -> None:
    """One row an experiment, the busiest first; `words` names the states."""
    shown = busiest(seen)
    used = [state for state in words if any(each.counts.get(state) for each in shown)]
    rows = []
    for each in shown:
        row = {say("delivery.messages.experiment"): formats.plain(each.experiment)}
        row |= {words[state]: formats.count(each.counts.get(state, 0)) for state in used}
        row[say("delivery.messages.books")] = say(
            "delivery.messages.holds" if each.holds else "delivery.messages.broken"
        )
        rows.append(row)
    _table(rows, alt=say("delivery.messages.title"))


def busiest(seen: Delivery) -> list[calls.SentOf]:
    """The experiments with the most messages, as many as the page shows."""
    return sorted(seen.experiments, key=lambda each: -total(each))[:MOST]


def show_held(seen: Delivery) -> None:
    """Reasons, with how many messages wait for each and how many it ended."""
    streamlit.subheader(say("delivery.held.title"), anchor=False)
    waiting, ended = _by_reason(seen, WAITING), _by_reason(seen, ENDED)
    if not waiting and not ended:
        streamlit.markdown(say("delivery.held.none"))
        return
    reasons = sorted({*waiting, *ended}, key=lambda each: -(waiting[each] + ended[each]))
    _table(
        [
            {
                say("delivery.held.reason"): formats.plain(told("result.reason", reason)),
                say("delivery.held.put_off"): formats.count(waiting[reason]),
                say("delivery.held.ended"): formats.count(ended[reason]),
            }
            for reason in reasons
        ],
        alt=say("delivery.held.title"),
    )


def _by_reason(seen: Delivery, states: Iterable[str]) -> Counter[str]:
    """Messages in any of these states, by reason: one reason may hold some of each."""
    found: Counter[str] = Counter()
    for state in states:
        found.update(seen.reasons.get(state, {}))
    return found


def show_failures(seen: Delivery) -> None:
    """Failures by code, each with what it means and what to do."""
    streamlit.subheader(say("delivery.failures.title"), anchor=False)
    if not seen.failures:
        streamlit.markdown(say("delivery.failures.none"))
        return
    _table(
        [
            {
                say("delivery.failures.messages"): formats.count(each.messages),
                say("delivery.failures.meaning"): formats.plain(
                    each.meaning or say("delivery.failures.unexplained")
                ),
                say("delivery.failures.remedy"): formats.plain(each.remedy),
                say("delivery.failures.code"): formats.UNKNOWN if each.code is None else str(each.code),
            }
            for each in sorted(seen.failures, key=lambda each: -each.messages)
        ],
        alt=say("delivery.failures.title"),
    )


def show_numbers(numbers: Sequence[Number]) -> None:
    """Quality and tier of our numbers, as WhatsApp last said."""
    streamlit.subheader(say("delivery.number.title"), anchor=False)
    if not numbers:
        streamlit.markdown(say("delivery.number.none"))
        return
    _table(
        [
            {
                say("delivery.number.number"): formats.plain(each.shown),
                say("delivery.number.quality"): _quality(each.quality),
                say("delivery.number.tier"): say("delivery.number.no_limit")
                if each.limit is None
                else formats.count(each.limit),
                say("delivery.number.status"): formats.plain(each.status) or formats.UNKNOWN,
                say("delivery.number.said"): formats.plain(formats.moment(each.said_at)),
            }
            for each in numbers
        ],
        alt=say("delivery.number.title"),
    )


def _quality(word: str) -> str:
    if not word:
        return formats.UNKNOWN
    return told("delivery.quality", word) if word in ("GREEN", "YELLOW", "RED") else formats.plain(word)


def show_caps(policy: Mapping[str, Any]) -> None:
    """The caps that count now, by category."""
    streamlit.subheader(say("delivery.caps.title"), anchor=False, help=say("delivery.caps.help"))
    rows = []
    for category in CATEGORIES:
        caps = values.mapping(policy.get(category))
        row = {say("delivery.caps.category"): told("common.category", category)}
        for name in ("day", "week", "month"):
            most = values.whole(caps.get(name))
            row[say(f"delivery.caps.{name}")] = (
                say("delivery.caps.free") if most is None else formats.count(most)
            )
        row[say("delivery.caps.interval")] = formats.plain(
            str(caps.get("min_interval") or say("delivery.caps.free"))
        )
        rows.append(row)
    _table(rows, alt=say("delivery.caps.title"))
    streamlit.caption(" ".join(_beside_caps(policy)))


def _beside_caps(policy: Mapping[str, Any]) -> list[str]:
    quiet = values.mapping(policy.get("quiet_hours"))
    hours = formats.plain(f"{quiet.get('start')} – {quiet.get('end')}")
    said = [say("delivery.caps.quiet", hours=hours) if quiet else say("delivery.caps.no_quiet")]
    if policy.get("adaptive"):
        said.append(say("delivery.caps.adaptive"))
    if countries := values.mapping(policy.get("countries")):
        said.append(say("delivery.caps.countries", names=formats.plain(", ".join(sorted(countries)))))
    return said


def show_workers(seen: Delivery) -> None:
    """Who sends, when each was last seen, and its share of the throughput."""
    streamlit.subheader(say("delivery.workers.title"), anchor=False)
    if not seen.workers:
        streamlit.markdown(say("delivery.workers.none"))
        return
    _table([_worker_row(each) for each in seen.workers], alt=say("delivery.workers.title"))


def _worker_row(worker: calls.Worker) -> dict[str, str]:
    return {
        say("delivery.workers.name"): formats.plain(worker.name),
        say("delivery.workers.seen"): formats.plain(formats.moment(worker.seen_at)),
        say("delivery.workers.share"): formats.UNKNOWN
        if worker.share is None
        else formats.number(worker.share, 0),
    }


def _table(rows: Sequence[Mapping[str, str]], *, alt: str) -> None:
    streamlit.table(list(rows), border="horizontal", hide_index=True, alt=alt)
