"""The simulator's faults over real sockets: cut lines, webhooks late, twice or refused, people whom nothing reaches."""

from collections import Counter, defaultdict
from dataclasses import replace

from delivery.simulator.config import Faults
from delivery.simulator.server import running
from delivery.whatsapp.client import Accepted, Rejected, Unknown
from delivery.whatsapp.error_table import ErrorClass
from delivery.whatsapp.webhooks import (
    StatusUpdate,
)
from experiments.vocabulary import MessageState
from tests.integration.simulation import campaign, configuration, drain, message, people, post, receiver, send


def test_a_link_that_leads_nowhere_brings_nobody():
    with receiver() as (url, received):
        config = replace(configuration(url), public_url=f"{url}/webhooks")  # answers links with 404
        with running(config) as simulator:
            post(
                simulator,
                "/simulator/world",
                people=people(50),
                behaviour={"templates": {"t": {"visit": 0.2}}},
            )
            send(simulator, [message(n, "t") for n in range(50)])
            final = drain(simulator)
    assert final["failed_calls"] > 0
    assert (received.clicks, received.events) == ([], [])


def test_duplicates_and_late_webhooks_end_in_the_same_states():
    calm, _, _, _ = campaign(150)
    wild, final, _, _ = campaign(150, faults=Faults(duplicate=0.5, late=0.5))
    assert wild.final_states() == calm.final_states()
    assert final["statuses"] > len([item for item in calm.items() if isinstance(item, StatusUpdate)])
    order = defaultdict(list)
    for item in wild.items():
        if isinstance(item, StatusUpdate):
            order[item.wamid].append(item.status)
    assert any(states[0] is MessageState.READ for states in order.values())


def test_a_webhook_that_is_refused_comes_again():
    with receiver() as (url, received), running(configuration(url)) as simulator:
        received.refuse_webhooks = 3
        outcomes = send(simulator, [message(n, "anything") for n in range(20)])
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        final = drain(simulator)
    assert final["retries"] == 3
    assert final["webhooks_lost"] == 0
    assert set(received.final_states().values()) == {MessageState.READ}
    assert len(received.final_states()) == 20


def test_lines_that_are_cut_end_unknown_and_the_message_went_out_all_the_same():
    faults = Faults(drop=0.3, server_error=0.2)
    with receiver() as (url, received), running(configuration(url, faults=faults)) as simulator:
        outcomes = send(simulator, [message(n, "anything") for n in range(100)])
        final = drain(simulator)
    unknown = [outcome for outcome in outcomes if isinstance(outcome, Unknown)]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    assert len(unknown) + len(accepted) == 100
    assert 30 <= len(unknown) <= 70
    cut = final["accepted"] - len(accepted)
    assert cut > 0
    assert len(received.final_states()) == final["accepted"]


def test_people_whom_nothing_reaches_are_refused_or_fail_later():
    faults = Faults(marketing_cap=0.2, meta_holdout=0.2, undeliverable=0.2)
    with receiver() as (url, received):
        with running(configuration(url, faults=faults)) as simulator:
            post(simulator, "/simulator/world", people=people(100), behaviour={"templates": {"t": {}}})
            outcomes = send(simulator, [message(n, "t") for n in range(100)])
            drain(simulator)
        with running(configuration(url, faults=replace(faults, as_status=True))) as simulator:
            post(simulator, "/simulator/world", people=people(100), behaviour={"templates": {"t": {}}})
            received.webhooks.clear()
            later = send(simulator, [message(n, "t") for n in range(100)])
            drain(simulator)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    kinds = Counter(outcome.error_class for outcome in refused)
    assert set(kinds) == {ErrorClass.RECIPIENT_LATER, ErrorClass.NEVER_FOR_PERSON}
    assert {outcome.code for outcome in refused} == {131049, 130472, 131026}
    assert all(isinstance(outcome, Accepted) for outcome in later)
    failed = {
        item.callback_data: item.error_code
        for item in received.items()
        if isinstance(item, StatusUpdate) and item.error_code
    }
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, Rejected):
            assert failed[f"m-{position}"] == outcome.code
