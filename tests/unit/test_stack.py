"""What a stack forgets when its sample shrinks, and what it keeps in memory."""

import numpy as np
import pytest

from tmemstore.trace.distances import page_hashes
from tmemstore.trace.spilled import SpilledStack
from tmemstore.trace.stack import Action, Stack

PAGES = 2000
HALF = np.uint64(1 << 63)


def run(stack, action, indexes):
    pools, objects = np.zeros(len(indexes), np.uint16), np.zeros(len(indexes), np.uint64)
    numbers = np.asarray(indexes, np.uint32)
    hashes = page_hashes(pools, objects, numbers, seed=1)
    return stack.run(np.full(len(indexes), int(action), np.uint8), pools, objects, numbers, hashes)


def below_half(indexes):
    zeros = np.zeros(len(indexes), np.uint64)
    return page_hashes(zeros, zeros, np.asarray(indexes, np.uint32), seed=1) < HALF


@pytest.mark.parametrize("kind", [Stack, SpilledStack])
def test_pages_and_holes_are_forgotten_by_their_hash(kind):
    stack = kind()
    pages = np.arange(PAGES)
    run(stack, Action.ENTERS, pages)
    run(stack, Action.REMOVE, pages[::3])
    stack.thin(lambda hashes: hashes < HALF)
    assert len(stack) == np.count_nonzero(below_half(pages))
    # As many holes are left as removed pages would be in the sample: they take as many new pages, and no more.
    holes = np.count_nonzero(below_half(pages[::3]))
    run(stack, Action.ENTERS, PAGES + np.arange(holes))
    assert len(stack) == np.count_nonzero(below_half(pages))
    run(stack, Action.ENTERS, [9999])
    assert len(stack) == np.count_nonzero(below_half(pages)) + 1


@pytest.mark.parametrize(("kind", "asks"), [(Stack, Action.ASKS), (SpilledStack, Action.ASKS | Action.STAYS)])
def test_what_is_left_keeps_its_order(kind, asks):
    stack = kind()
    pages = np.arange(PAGES)
    run(stack, Action.ENTERS, pages)
    stack.thin(lambda hashes: hashes < HALF)
    asked = run(stack, asks, pages)
    kept = np.flatnonzero(below_half(pages))
    assert asked.found.tolist() == kept.tolist()
    assert asked.positions.tolist() == list(range(len(kept), 0, -1))


@pytest.mark.parametrize("kind", [Stack, SpilledStack])
def test_a_stack_of_nothing_can_be_asked_and_thinned(kind):
    stack = kind()
    stack.thin(lambda hashes: hashes < HALF)
    assert run(stack, Action.ASKS, [5]).missed.tolist() == [0]
    assert len(stack) == 0


def test_a_stack_keeps_nothing_of_objects_without_pages():
    stack = Stack()
    run(stack, Action.ENTERS, range(100))
    run(stack, Action.ASKS, range(200))
    run(stack, Action.REMOVE, range(300))
    assert not stack._pools
    assert len(stack._holes) == len(stack) == 100
