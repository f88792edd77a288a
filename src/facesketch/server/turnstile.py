"""Who may convert now: a bounded queue, first come first served.

Every request that converts is `admitted` (or refused at once), then waits for its `turn`. Only
those that have one hold decoded pictures and results, and of large ones there is one at a time, so
memory is bounded.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from facesketch.errors import FacesketchError


class OverloadedError(FacesketchError):
    """The queue is full, or the server is stopping.

    Attributes:
        retry_after_s: When to try again, seconds.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TimeLimitError(FacesketchError):
    """A request waited or ran longer than it may."""

    def __init__(self, time_limit_s: float) -> None:
        super().__init__(
            f"The conversion took longer than {time_limit_s:g} s; try again later or send a "
            "smaller picture."
        )


class ClientGoneError(FacesketchError):
    """Nobody waits for the result any more."""


class Ticket:
    """One request's place: it is worth converting until its time is up or its client has left."""

    def __init__(self, time_limit_s: float, is_gone: Callable[[], bool]) -> None:
        self.time_limit_s = time_limit_s
        self._deadline = time.monotonic() + time_limit_s
        self.is_gone = is_gone
        self.called = threading.Event()
        self.is_large = False

    @property
    def remaining_s(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Raise if the result is not wanted any more.

        Raises:
            ClientGoneError: If the client has left.
            TimeLimitError: If the time is up.
        """
        if self.is_gone():
            raise ClientGoneError("The client has left.")
        if self.remaining_s == 0:
            raise TimeLimitError(self.time_limit_s)


class Turnstile:
    """Admits up to `max_pending` requests and gives `num_turns` of them their turn."""

    def __init__(self, num_turns: int, max_pending: int, time_limit_s: float) -> None:
        self._num_turns = num_turns
        self._max_pending = max_pending
        self._time_limit_s = time_limit_s
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._waiting: list[Ticket] = []
        self._num_pending = 0
        self._num_running = 0
        self._num_large = 0
        self._is_closed = False
        self._mean_turn_s = 0.1  # running mean, for Retry-After

    @property
    def num_pending(self) -> int:
        """Requests that wait or run."""
        return self._num_pending

    @property
    def is_closed(self) -> bool:
        """Whether new requests are refused for good."""
        return self._is_closed

    @contextmanager
    def admitted(self, is_gone: Callable[[], bool], *, num_pictures: int = 1) -> Iterator[Ticket]:
        """Hold a place in the queue.

        Args:
            is_gone: Says whether the client has left; asked before the turn and between steps.
            num_pictures: How many pictures the request has; each adds to its time limit.

        Raises:
            OverloadedError: If the queue is full or closed.
        """
        with self._lock:
            if self._is_closed:
                raise OverloadedError("The server is stopping; try again in a moment.", 5)
            if self._num_pending >= self._max_pending:
                self._drop_the_gone()
                raise OverloadedError(
                    f"The server is busy with {self._num_pending} pictures; try again in a moment.",
                    max(1, math.ceil(self._num_pending * self._mean_turn_s / self._num_turns)),
                )
            self._num_pending += 1
        try:
            yield Ticket(self._time_limit_s * num_pictures, is_gone)
        finally:
            with self._lock:
                self._num_pending -= 1
                self._left.notify_all()

    @contextmanager
    def turn(self, ticket: Ticket, *, is_large: bool = False) -> Iterator[None]:
        """Wait for a turn, and hold it.

        Args:
            ticket: The request's place.
            is_large: Wait for the turns of other large requests to end; small ones may overtake.

        Raises:
            ClientGoneError: If the client left meanwhile.
            TimeLimitError: If the time was up first.
        """
        ticket.is_large = is_large
        self._wait(ticket)
        started = time.monotonic()
        try:
            ticket.check()
            yield
            self._mean_turn_s += 0.1 * (time.monotonic() - started - self._mean_turn_s)
        finally:
            with self._lock:
                self._num_running -= 1
                self._num_large -= is_large
                self._call_next()

    def close(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for those that are in; False if some are left."""
        with self._lock:
            self._is_closed = True
            return self._left.wait_for(lambda: self._num_pending == 0, timeout_s)

    def _wait(self, ticket: Ticket) -> None:
        with self._lock:
            self._waiting.append(ticket)
            self._call_next()
        if ticket.called.wait(ticket.remaining_s):
            return
        with self._lock:
            if ticket.called.is_set():  # at the last moment
                return
            self._waiting.remove(ticket)
        raise TimeLimitError(ticket.time_limit_s)

    def _call_next(self) -> None:
        for ticket in list(self._waiting):
            if self._num_running < self._num_turns and not (ticket.is_large and self._num_large):
                self._call(ticket)

    def _call(self, ticket: Ticket) -> None:
        self._waiting.remove(ticket)
        self._num_running += 1
        self._num_large += ticket.is_large
        ticket.called.set()

    def _drop_the_gone(self) -> None:
        """Call those whose clients have left out of turn: they find that out, and leave."""
        for ticket in [ticket for ticket in self._waiting if ticket.is_gone()]:
            self._call(ticket)
