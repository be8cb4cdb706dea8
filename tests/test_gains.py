"""Alpha maps on their way to the flow's grid."""

from __future__ import annotations

import numpy as np
import pytest

from magfilter import OptionError
from magfilter.gains import Gains

SIZE = (8, 12)


def test_without_a_map_there_is_one_factor():
    gains = Gains(None)
    gains.check(3, 5)
    gains.take(0, 3, 5, 2)
    assert gains.now is None
    assert not gains.idle
    assert not gains.ones


def test_a_map_is_brought_to_the_grid_of_its_reference():
    factors = np.ones(SIZE, np.float32)
    factors[:4] = 7
    gains = Gains(factors)
    factors[:] = 3  # the caller's own again
    assert gains.now is None
    gains.take(0, *SIZE, 2)
    np.testing.assert_array_equal(gains.now, [[7] * 6] * 2 + [[1] * 6] * 2)
    assert not gains.idle
    gains.drop()
    assert gains.now is None


def test_ones_do_nothing_and_are_known_beforehand():
    gains = Gains(np.ones(SIZE, np.float32))
    assert gains.ones
    gains.take(0, *SIZE, 2)
    assert gains.idle


def test_a_function_is_asked_for_every_reference():
    asked, still = [], np.full(SIZE, 2.0)
    still.flags.writeable = False

    def given(number):
        asked.append(number)
        return still if number < 5 else np.full(SIZE, number)

    gains = Gains(given)
    gains.check(1, 1)  # not known before
    gains.take(0, *SIZE, 2)
    first = gains.now
    gains.take(4, *SIZE, 2)
    assert gains.now is first, "the same map is not reduced anew"
    gains.take(5, *SIZE, 2)
    assert asked == [0, 4, 5]
    assert (gains.now == 5).all()


def test_an_array_that_was_written_to_is_another_map():
    shared = np.full(SIZE, 2.0)
    gains = Gains(lambda _: shared)
    gains.take(0, *SIZE, 2)
    shared[:] = 4
    gains.take(1, *SIZE, 2)
    assert (gains.now == 4).all()


def test_a_function_may_return_lists():
    gains = Gains(lambda number: [[2 + number] * 4] * 4)
    for number in range(2):
        gains.take(number, 4, 4, 2)
        assert (gains.now == 2 + number).all()


@pytest.mark.parametrize("returned", [None, "10", [[1, 2], [3]], np.ones(3)], ids=str)
def test_what_a_function_returns_may_be_no_map(returned):
    gains = Gains(lambda _: returned)
    for _ in range(2):
        with pytest.raises(OptionError, match=r"alpha_map h.*; an alpha map is"):
            gains.take(0, 4, 4, 2)


def test_another_size_is_refused():
    with pytest.raises(OptionError, match="alpha_map is 12x8 and the frame 10x8; give one factor for every pixel"):
        Gains(np.ones(SIZE)).check(8, 10)
    with pytest.raises(OptionError, match="alpha_map is 12x8 and the frame 12x9"):
        Gains(lambda _: np.ones(SIZE)).take(0, 9, 12, 2)
