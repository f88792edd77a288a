"""A server under mixed load for a while: good requests and hostile ones, pages and metrics.

    python -m soak.mixed_load --seed 0 --count 60

Good requests have to be answered with 200, or 503 and when to come back; the rest is as in
`soak.uploads`. At the end the memory may not be more than 5% above that after the first fifth,
where the load was long enough to tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from server_helpers import Server
from soak import campaign, load
from soak.campaign import Report
from soak.requests import Request, good_request, hostile_request
from soak.uploads import ENOUGH, MOST_GROWTH

LONG_MINUTES = 1


def mix(seed: int, minutes: float, *options: str) -> Report:
    """Load a server with these options of `facesketch serve` for some minutes."""
    report, warm_up = Report(), Report()
    is_long = minutes >= LONG_MINUTES
    memory_mb = load.settled_mb if is_long else load.resident_mb
    server = Server(*options)
    try:
        first = load.drive(server, _requests(seed - 1, minutes / 5), warm_up)
        before = memory_mb(server)
        memory = load.drive(server, _requests(seed, minutes * 4 / 5), report)
        after = memory_mb(server)
    finally:
        load.check_afterwards(server, seed, report)
    wrong = None
    if is_long and after / before - 1 > MOST_GROWTH and memory[-1][0] > ENOUGH:
        wrong = f"{after / before - 1:.1%} more than before"
    report.add("memory of the server", f"{before:.0f} MB before, {after:.0f} MB after", wrong)
    report.merge_warm_up(warm_up)
    report.measured = {"memory_mb": first + memory, "before_mb": before, "after_mb": after}
    return report


def _requests(seed: int, minutes: float) -> Iterator[Request]:
    deadline = time.monotonic() + 60 * minutes
    number = 0
    while time.monotonic() < deadline:
        yield (hostile_request if number % 3 == 2 else good_request)(seed, number)
        number += 1


if __name__ == "__main__":
    campaign.run(mix, __doc__, count=60, of_what="minutes")
