"""Pieces of work on all cores: in their order, as few at a time as there are cores, errors as they are."""

import os
import threading

import pytest

from hierbayes.answers.threads import side_by_side


@pytest.fixture
def three_cores(monkeypatch):
    name = "process_cpu_count" if hasattr(os, "process_cpu_count") else "cpu_count"
    monkeypatch.setattr(os, name, lambda: 3)


def test_pieces_come_in_their_order(three_cores):
    later = [threading.Event() for _ in range(3)]

    def work(piece: int) -> int:
        if piece < 2:
            assert later[piece + 1].wait(10)  # a piece ends only after the next one has begun
        if piece < 3:
            later[piece].set()
        return piece

    assert list(side_by_side(work, range(9))) == list(range(9))


def test_no_more_pieces_are_asked_for_than_are_in_work(three_cores):
    asked = []
    found = side_by_side(lambda piece: piece, (asked.append(i) or i for i in range(100)))
    for taken in range(20):
        assert next(found) == taken
        assert len(asked) <= taken + 1 + 3


def test_an_error_is_the_pieces_own(three_cores):
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda piece: 1 // piece, [2, 1, 0, 3]))


def test_one_piece_and_none_take_no_thread():
    assert list(side_by_side(lambda _: threading.current_thread(), [1])) == [threading.current_thread()]
    assert list(side_by_side(abs, [])) == []
