"""A server process is sent hostile uploads: it may refuse them, but not fail, hang or grow.

    python -m soak.uploads --seed 0 --count 10000

Bombs, broken files and broken HTTP come from a seeded generator, over four connections at a time,
to `facesketch serve` on this machine. No answer may be a 5xx, but for 503 with Retry-After; what a
server writes may hold no traceback; its memory has to come back to within 5% of what it was after
other requests of the same kinds.
"""

from __future__ import annotations

from server_helpers import Server
from soak import campaign, load
from soak.campaign import Report
from soak.requests import hostile_request

WARM_UP_SEED = -1
"""Of half as many requests that come first: the heaps of the C library, one for each thread, grow
into their holes, ever more slowly (Python's own memory does not grow at all)."""

MOST_GROWTH, ENOUGH = 0.05, 1_000
"""How much larger the memory may be afterwards, and how many requests it takes to tell."""


def upload(seed: int, count: int, *options: str) -> Report:
    """Send `count` hostile requests to a server with these options of `facesketch serve`."""
    report, warm_up = Report(), Report()
    server = Server(*options)
    try:
        first = (hostile_request(WARM_UP_SEED, number) for number in range(count // 2))
        load.drive(server, first, warm_up)
        before = load.settled_mb(server) if count >= ENOUGH else load.resident_mb(server)
        memory = load.drive(server, (hostile_request(seed, n) for n in range(count)), report)
        after = load.settled_mb(server) if count >= ENOUGH else load.resident_mb(server)
    finally:
        load.check_afterwards(server, seed, report)
    growth = after / before - 1
    happened = f"{before:.0f} MB before, {after:.0f} MB after"
    is_grown = growth > MOST_GROWTH and count >= ENOUGH
    wrong = f"{growth:.1%} more than before" if is_grown else None
    report.add("memory of the server", happened, wrong)
    report.merge_warm_up(warm_up)
    report.measured = {"memory_mb": memory, "before_mb": before, "after_mb": after}
    return report


if __name__ == "__main__":
    campaign.run(upload, __doc__, count=10_000, of_what="hostile requests")
