"""How many messages may go together, and when."""

import pytest

from delivery.sending.throughput import BURST_SECONDS, Throughput


class Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _sent(throughput: Throughput, watch: Watch, *, wanted: int, seconds: float) -> int:
    """How many messages pass in so many seconds when all of them wait."""
    sent = 0
    while True:
        places, delay = throughput.free_in(wanted)
        if watch.seconds + delay > seconds:
            return sent
        watch.seconds += delay
        throughput.take(places)
        sent += places


@pytest.mark.parametrize("rate", [0.5, 7, 80, 333, 1000])
def test_no_more_pass_than_the_rate_allows_and_no_fewer(rate: float) -> None:
    watch = Watch()
    sent = _sent(Throughput(rate, watch), watch, wanted=50, seconds=20)
    assert 20 * rate - 50 * BURST_SECONDS * rate <= sent <= 20 * rate + 1 + BURST_SECONDS * rate


def test_slow_numbers_send_one_at_a_time_and_fast_ones_a_few_together() -> None:
    watch = Watch()
    assert Throughput(10, watch).free_in(8) == (1, 0.0)
    places, delay = Throughput(1000, watch).free_in(80)
    assert places == 51
    assert delay == pytest.approx(0.05)


def test_time_that_was_not_used_is_made_up_for_a_little_only() -> None:
    watch = Watch()
    throughput = Throughput(100, watch)
    watch.seconds = 1000.0
    assert throughput.free_in(5) == (5, 0.0)
    throughput.take(5)
    assert throughput.free_in(5)[1] > 0


def test_a_change_of_the_rate_counts_at_once() -> None:
    watch = Watch()
    throughput = Throughput(100, watch)
    throughput.take(1)
    throughput.rate = 1
    assert throughput.rate == pytest.approx(1)
    throughput.take(1)
    assert throughput.free_in(1) == (1, pytest.approx(1.01))
