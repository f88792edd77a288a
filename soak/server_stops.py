"""A server is told to stop at random moments: what is in is finished, the rest is refused.

    python -m soak.server_stops --seed 0 --count 20

Each time a server converts pictures of eight clients when SIGTERM comes, and others go on asking.
Who was let in gets a picture; the others 503 with Retry-After, or no connection. It ends with 0.
"""

from __future__ import annotations

import io
import random
import signal
import threading
import time

from PIL import Image

from server_helpers import Server
from soak import campaign, load
from soak.campaign import Report
from soak.requests import CONVERT, Request, form, http

NUM_CLIENTS = 8
END_S = 60
IN, LATE = "requests before SIGTERM", "requests after SIGTERM"


def stop_servers(seed: int, count: int, *options: str) -> Report:
    """Stop `count` servers with these options of `facesketch serve`."""
    rng, report = random.Random(seed), Report()
    for _ in range(count):
        server = Server(*options)
        try:
            _stop_one(server, rng, report)
        finally:
            server.stop()
    return report


def _stop_one(server: Server, rng: random.Random, report: Report) -> None:
    lock = threading.Lock()
    stopping = threading.Event()

    def client(size: int) -> None:
        while not stopping.is_set():
            happened, wrong = load.send(server.port, _picture(size))
            if happened not in ("200", "503"):
                wrong = wrong or f"{happened} to a picture"
            with lock:
                report.add(IN, happened, wrong)

    sizes = [rng.choice([64, 256, 1024]) for _ in range(NUM_CLIENTS)]
    clients = [threading.Thread(target=client, args=(size,)) for size in sizes]
    for each in clients:
        each.start()
    time.sleep(rng.uniform(0.2, 1.5))
    stopping.set()  # nobody begins anew; what is under way began before
    server.process.send_signal(signal.SIGTERM)
    while server.process.poll() is None:
        happened, wrong = load.send(server.port, _picture(64))
        if happened == load.NO_ANSWER:
            happened, wrong = "no connection", None
        report.add(LATE, happened, wrong)
        time.sleep(0.05)
    for each in clients:
        each.join()
    code = server.process.wait(END_S)
    report.add("servers told to stop", f"exit code {code}", f"exit code {code}" if code else None)


def _picture(size: int) -> Request:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((size, size)).save(buffer, "JPEG")
    fields = {"direction": "photo2sketch"}
    return Request("a picture", http("POST", CONVERT, form(fields, image=[buffer.getvalue()])))


if __name__ == "__main__":
    campaign.run(stop_servers, __doc__, count=20, of_what="servers")
