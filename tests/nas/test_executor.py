"""One try of a unit of work."""

import pytest

from nas.executor import Failure, attempt
from search_spaces.errors import SpecError


def divide(number):
    if number < 0:
        raise SpecError("must be at least 0", where="number")
    return 12 // number


def test_a_result_is_a_result():
    assert attempt(divide, 4) == 3


def test_a_refusal_is_not_tried_again():
    failure = attempt(divide, -1)
    assert isinstance(failure, Failure)
    assert (failure.error, failure.again) == ("number: must be at least 0", False)


def test_any_other_error_is():
    failure = attempt(divide, 0)
    assert isinstance(failure, Failure)
    assert failure.again
    assert failure.error.startswith("ZeroDivisionError: ")
    assert "12 // number" in failure.trace


def test_an_interrupt_passes():
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted, None)
