from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from facesketch.parallel import in_chunks, map_ahead, map_processes, num_cores, stream_processes


def test_items_are_read_only_a_few_ahead_of_the_results() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, str, items(), 5)
        assert [next(results), next(results)] == ["0", "1"]
        assert len(read) <= 7
        assert list(results) == [str(number) for number in range(2, 100)]


def test_chunks_hold_everything_in_order() -> None:
    assert list(in_chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_chunks([], 3)) == []


def test_processes_give_their_results_in_order_whatever_the_chunks() -> None:
    numbers = list(range(-30, 0))
    results = list(map_processes(abs, numbers, num_workers=2, chunksize=7))
    assert results == list(range(30, 0, -1))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no way to pin processes here")
def test_processes_keep_to_cores_of_their_own() -> None:
    own = os.sched_getaffinity(0)
    num_workers = min(2, num_cores())
    shares = [set(sorted(own)[number::num_workers]) for number in range(num_workers)]
    ask = stream_processes(os.sched_getaffinity, [0] * 6, num_workers=num_workers, pinned=True)
    assert all(cores in shares for cores in ask)
    assert os.sched_getaffinity(0) == own
