"""Threads and child processes: the same numbers everywhere."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
from typing import Any

from . import ours

CHILDREN = 3
ROUNDS = 5


def threads(asked: dict[str, Any]) -> dict[str, Any]:
    """Several threads work at once, each with files of its own."""
    expected = ours.work(asked)
    found: list[Any] = []

    def work(number: int) -> None:
        folder = os.path.join(asked["folder"], "thread-%d" % number)
        os.makedirs(folder)
        for _ in range(ROUNDS):
            found.append(ours.work(asked, folder))
            os.unlink(os.path.join(folder, "ours.gpkg"))

    every = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    assert len(found) == 4 * ROUNDS, "only %d of %d rounds ended well" % (len(found), 4 * ROUNDS)
    assert all(numbers == expected for numbers in found), "other numbers in a thread"
    return {"detail": "4 threads, %d rounds each" % ROUNDS}


def spawn(asked: dict[str, Any]) -> dict[str, Any]:
    return _children(asked, "spawn")


def fork(asked: dict[str, Any]) -> dict[str, Any]:
    """Forked after the parent has worked: open databases and all."""
    return _children(asked, "fork")


def _children(asked: dict[str, Any], method: str) -> dict[str, Any]:
    expected = ours.work(asked)
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    children = []
    for number in range(CHILDREN):
        folder = os.path.join(asked["folder"], "child-%d" % number)
        os.makedirs(folder)
        children.append(context.Process(target=_child, args=(asked, folder, answers)))
    for child in children:
        child.start()
    found = _answers(children, answers)
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * CHILDREN
    assert all(numbers == expected for numbers in found), "other numbers in a child"
    again = os.path.join(asked["folder"], "parent")
    os.makedirs(again)
    assert ours.work(asked, again) == expected, "other numbers in the parent afterwards"
    return {"detail": "%d children" % CHILDREN}


def _answers(children: list[Any], answers: Any) -> list[Any]:
    """One of each; nobody waits for a child that ended without one."""
    found: list[Any] = []
    while len(found) < len(children):
        try:
            found.append(answers.get(timeout=0.5))
        except queue.Empty:
            ended = [child.exitcode for child in children if child.exitcode]
            assert not ended, "children ended with %s" % ended
    return found


def _child(asked: dict[str, Any], folder: str, answers: Any) -> None:
    answers.put(ours.work(asked, folder))
