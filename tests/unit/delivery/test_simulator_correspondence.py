"""Windows, stops and ignored messages by the simulated clock, whatever has been told of them."""

from delivery.simulator.correspondence import WINDOW, Correspondence

HOUR = 3_600_000_000


def test_a_window_opens_when_somebody_writes_and_for_a_day():
    letters = Correspondence()
    assert not letters.window_open("1", 0)
    letters.wrote("1", 10 * HOUR)  # known beforehand, but not yet written
    letters.wrote("1", 20 * HOUR)
    assert not letters.window_open("1", 10 * HOUR - 1)
    assert letters.window_open("1", 10 * HOUR)
    assert letters.window_open("1", 20 * HOUR + WINDOW - 1)
    assert not letters.window_open("1", 20 * HOUR + WINDOW)
    assert not letters.window_open("2", 10 * HOUR)


def test_the_latest_choice_counts():
    letters = Correspondence()
    letters.chose("1", 30, stop=False)
    letters.chose("1", 10, stop=True)
    assert [letters.stopped("1", now) for now in (9, 10, 29, 30)] == [False, True, True, False]
    letters.chose("1", 30, stop=True)
    assert letters.stopped("1", 30)
    assert not letters.stopped("2", 30)


def test_what_came_since_the_last_sign_of_life_is_ignored():
    letters = Correspondence()
    for hour in (1, 2, 3):
        letters.marketed("1", hour * HOUR, None)
    assert [letters.ignored("1", now * HOUR, 100 * HOUR) for now in (0, 1, 3, 9)] == [0, 1, 3, 3]
    letters.marketed("1", 4 * HOUR, 5 * HOUR)
    assert letters.ignored("1", 4 * HOUR, 100 * HOUR) == 4  # delivered, and not read yet
    assert letters.ignored("1", 5 * HOUR, 100 * HOUR) == 0
    letters.marketed("1", 6 * HOUR, None)
    assert letters.ignored("1", 7 * HOUR, 100 * HOUR) == 1
    letters.wrote("1", 8 * HOUR)
    assert letters.ignored("1", 8 * HOUR, 100 * HOUR) == 0


def test_what_is_older_than_the_window_is_forgotten():
    letters = Correspondence()
    for hour in (1, 2, 3):
        letters.marketed("1", hour * HOUR, None)
    assert letters.ignored("1", 12 * HOUR, 10 * HOUR) == 1
    assert letters.ignored("1", 13 * HOUR, 10 * HOUR) == 0
    assert letters.ignored("nobody", HOUR, 10 * HOUR) == 0
