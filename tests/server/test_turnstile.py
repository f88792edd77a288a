"""The queue: bounded, first come first served, and nothing is done for those who left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("flask", reason="needs the extra serve")

from facesketch.server.turnstile import (
    ClientGoneError,
    OverloadedError,
    Ticket,
    TimeLimitError,
    Turnstile,
)


def stays() -> bool:
    return False


class Request(threading.Thread):
    """A request that waits for its turn, and holds it until it is let go."""

    def __init__(
        self,
        turnstile: Turnstile,
        order: list[str],
        name: str,
        is_gone: Callable[[], bool] = stays,
        *,
        is_large: bool = False,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.turnstile, self.order, self.is_gone = turnstile, order, is_gone
        self.is_large = is_large
        self.has_turn, self.may_go = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.ticket: Ticket | None = None

    def run(self) -> None:
        try:
            with self.turnstile.admitted(self.is_gone) as ticket:
                self.ticket = ticket
                with self.turnstile.turn(ticket, is_large=self.is_large):
                    self.order.append(self.name)
                    self.has_turn.set()
                    self.may_go.wait(60)
        except (ClientGoneError, OverloadedError, TimeLimitError) as error:
            self.error = error


@pytest.fixture
def start() -> Iterator[Callable[..., Request]]:
    requests: list[Request] = []

    def make(turnstile: Turnstile, *args: Any, **kwargs: Any) -> Request:
        request = Request(turnstile, *args, **kwargs)
        requests.append(request)
        request.start()
        wait_until(lambda: request.has_turn.is_set() or waiting(request) or not request.is_alive())
        return request

    yield make
    for request in requests:
        request.may_go.set()
        request.join(30)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting(request: Request) -> bool:
    """Say whether a request stands in the queue."""
    return request.ticket is not None and request.ticket in request.turnstile._waiting


def test_requests_have_their_turn_in_the_order_in_which_they_came(
    start: Callable[..., Request],
) -> None:
    turnstile, order = Turnstile(1, 10, 60), list[str]()
    requests = [start(turnstile, order, name) for name in "abcde"]
    for request in requests:
        assert request.has_turn.wait(30)
        request.may_go.set()
    wait_until(lambda: turnstile.num_pending == 0)
    assert order == list("abcde")


def test_no_more_than_its_turns_are_held_at_once(start: Callable[..., Request]) -> None:
    turnstile, order = Turnstile(2, 10, 60), list[str]()
    requests = [start(turnstile, order, str(number)) for number in range(4)]
    assert [request.has_turn.is_set() for request in requests] == [True, True, False, False]
    assert sum(map(waiting, requests)) == 2


def test_a_full_queue_refuses_at_once(start: Callable[..., Request]) -> None:
    turnstile, order = Turnstile(1, 2, 60), list[str]()
    start(turnstile, order, "runs")
    start(turnstile, order, "waits")
    refused = start(turnstile, order, "too many")
    refused.join(30)
    assert isinstance(refused.error, OverloadedError)
    assert refused.error.retry_after_s >= 1


def test_a_client_that_left_is_dropped_before_its_turn(start: Callable[..., Request]) -> None:
    turnstile, order, left = Turnstile(1, 10, 60), list[str](), threading.Event()
    first = start(turnstile, order, "first")
    gone = start(turnstile, order, "gone", left.is_set)
    last = start(turnstile, order, "last")
    left.set()
    first.may_go.set()
    assert last.has_turn.wait(30)
    gone.join(30)
    assert isinstance(gone.error, ClientGoneError)
    assert order == ["first", "last"]


def test_a_full_queue_gets_rid_of_those_who_left(start: Callable[..., Request]) -> None:
    turnstile, order, left = Turnstile(1, 2, 60), list[str](), threading.Event()
    start(turnstile, order, "first")
    gone = start(turnstile, order, "gone", left.is_set)
    left.set()
    start(turnstile, order, "refused").join(30)
    gone.join(30)
    assert isinstance(gone.error, ClientGoneError)
    assert turnstile.num_pending == 1


def test_waiting_ends_with_the_time_limit(start: Callable[..., Request]) -> None:
    turnstile, order = Turnstile(1, 10, 0.5), list[str]()
    start(turnstile, order, "runs")
    late = start(turnstile, order, "late")
    late.join(30)
    assert isinstance(late.error, TimeLimitError)
    assert "0.5 s" in str(late.error)
    assert order == ["runs"]


def test_every_picture_of_a_request_adds_to_its_time() -> None:
    turnstile = Turnstile(1, 10, 60)
    with turnstile.admitted(stays, num_pictures=3) as ticket:
        assert 120 < ticket.remaining_s <= 180


def test_a_turn_comes_back_whatever_happens_in_it() -> None:
    turnstile = Turnstile(1, 10, 60)
    for _ in range(3):
        with ExitStack() as stack:
            ticket = stack.enter_context(turnstile.admitted(stays))
            with pytest.raises(RuntimeError, match="broken"), turnstile.turn(ticket):
                raise RuntimeError("broken")
    assert turnstile.num_pending == 0


def test_large_requests_have_their_turn_one_at_a_time_and_small_ones_overtake(
    start: Callable[..., Request],
) -> None:
    turnstile, order = Turnstile(3, 10, 60), list[str]()
    first = start(turnstile, order, "large", is_large=True)
    second = start(turnstile, order, "large too", is_large=True)
    assert start(turnstile, order, "small").has_turn.is_set()
    assert waiting(second)
    first.may_go.set()
    assert second.has_turn.wait(30)
    assert order == ["large", "small", "large too"]


def test_a_closed_turnstile_lets_out_who_is_in_and_refuses_the_rest(
    start: Callable[..., Request],
) -> None:
    turnstile, order = Turnstile(1, 10, 60), list[str]()
    inside = start(turnstile, order, "inside")
    assert inside.has_turn.is_set()
    assert not turnstile.close(0.01)
    with pytest.raises(OverloadedError, match="stopping"), turnstile.admitted(stays):
        pass
    inside.may_go.set()
    assert turnstile.close(30)
