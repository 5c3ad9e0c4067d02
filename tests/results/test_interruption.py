import signal
import time

import pytest
import signals

from results import interruption


@pytest.fixture(autouse=True)
def said(monkeypatch):
    monkeypatch.setattr(interruption, "GRACE_S", 0.3)
    monkeypatch.setattr(interruption, "SAME_S", 0.1)
    with signals.listened() as said:
        yield said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_nothing_is_to_be_saved_a_signal_interrupts_at_once(said, number):
    with pytest.raises(KeyboardInterrupt):
        signals.tell(number)
    assert not interruption.told()
    assert said == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_step_is_finished_first(said, number):
    done = []
    with pytest.raises(KeyboardInterrupt), interruption.postponed():
        signals.tell(number)
        assert interruption.told()
        assert said == ["told"]
        done.append("step")
    assert done == ["step"]
    time.sleep(0.4)  # the grace has gone by, and nothing follows


def test_a_step_that_takes_too_long_is_broken_off(said):
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interruption.postponed():
        signals.tell()
        time.sleep(60)
    assert 0.3 <= time.monotonic() - begin < 30
    assert not interruption.told_again()


def test_once_the_step_has_ended_there_is_time_to_save():
    done = []
    with pytest.raises(KeyboardInterrupt), interruption.postponed():
        signals.tell()
        interruption.in_time()
        time.sleep(0.6)
        done.append("saved")
    assert done == ["saved"]


def test_a_second_signal_ends_it_at_once_but_not_an_echo_of_the_first(said):
    with pytest.raises(KeyboardInterrupt), interruption.postponed():
        signals.tell(signal.SIGINT)
        signals.tell(signal.SIGTERM)  # from a parent that was told the same
        interruption.in_time()
        assert not interruption.told_again()
        time.sleep(0.2)
        signals.tell(signal.SIGINT)
        pytest.fail("it went on")
    assert interruption.told_again()
    assert said == ["told"]


def test_an_error_comes_as_it_is_and_the_next_block_begins_anew():
    with pytest.raises(ValueError, match="mine"), interruption.postponed():
        signals.tell()
        raise ValueError("mine")
    with interruption.postponed():
        assert not interruption.told()
    with pytest.raises(KeyboardInterrupt):
        signals.tell()


def test_blocks_within_blocks_are_one():
    with pytest.raises(KeyboardInterrupt), interruption.postponed():
        with pytest.raises(KeyboardInterrupt), interruption.postponed():
            signals.tell()
        assert interruption.told()


def test_what_a_shell_starts_in_the_background_still_ignores_the_keyboard():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interruption.listen(lambda: None)
    signals.tell(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signals.tell(signal.SIGTERM)
