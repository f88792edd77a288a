"""How many pictures a second `facesketch serve` converts, and how long its clients wait.

    python benchmarks/serving.py [--clients 1 8 32 128] [--seconds 10] [--rounds 3] [--batches]

256 px JPEG in and out, converted as it is (`align` none). The bare generator runs in the same
process count and on the same cores, by turns with the server, so that what else the machine does
falls on both; its best way of using the cores counts. The clients run on these cores too: the CPU
time that they took is taken out of the time that the server had.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import facesketch
from facesketch import images
from facesketch.parallel import num_cores
from facesketch.translator import Translator

PICTURE = Path(facesketch.__file__).parent / "samples" / "photo_1.jpg"
SIZE = 256
NUM_CORES = num_cores()


@dataclass
class Load:
    """What one client load came to.

    Attributes:
        latencies_s: Of the requests that were answered with a picture.
        statuses: How many answers had which status.
        wall_s: How long it took.
        client_cpu_s: CPU time of the clients.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wall_s: float = 0.0
    client_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Pictures a second of the time that the clients left to the server."""
        return len(self.latencies_s) / (self.wall_s - self.client_cpu_s / NUM_CORES)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=10, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each; median counts")
    parser.add_argument("--batches", action="store_true", help="also try larger batches")
    args = parser.parse_args()
    image = images.open_image(PICTURE).resize((SIZE, SIZE))
    request = make_request(images.encode(image, "JPEG", quality=90))
    planes = images.normalise(np.asarray(image))[None]
    translators = {threads: Translator(num_threads=threads) for threads in {1, NUM_CORES}}
    bare: dict[str, list[float]] = {}
    loads: dict[int, list[Load]] = {clients: [] for clients in args.clients}
    with Server() as server:
        for _ in range(args.rounds):
            for threads, translator in translators.items():
                for batch_size in (1, 4, 8) if args.batches else (1,):
                    name = f"{NUM_CORES // threads} x {threads} threads, batch {batch_size}"
                    rate = bare_rate(translator, threads, planes, batch_size, args.seconds / 2)
                    bare.setdefault(name, []).append(rate)
            for clients, measured in loads.items():
                measured.append(asyncio.run(drive(server.port, request, clients, args.seconds)))
    for name, rates in bare.items():
        print(f"bare generator, {name:24} {statistics.median(rates):6.1f} pictures/s")
    best = max(statistics.median(rates) for rates in bare.values())
    print("clients  pictures/s  of bare  p50 ms  p99 ms  answers")
    for clients, measured in loads.items():
        rate = statistics.median(load.rate for load in measured)
        latencies = np.concatenate([load.latencies_s for load in measured]) * 1000
        p50, p99 = np.percentile(latencies, [50, 99])
        statuses = dict(sum((load.statuses for load in measured), Counter()))
        print(f"{clients:7}  {rate:10.1f}  {rate / best:6.0%}  {p50:6.0f}  {p99:6.0f}  {statuses}")


class Server:
    """The server in a process of its own, on a free port."""

    def __enter__(self) -> Server:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "facesketch", "serve", "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.port = int(line.split("127.0.0.1:")[1].split("/")[0])
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.communicate(timeout=60)


def make_request(picture: bytes) -> bytes:
    """Write the request that every client sends again and again."""
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
        for name, value in (
            (b"direction", b"photo2sketch"),
            (b"format", b"jpeg"),
            (b"align", b"none"),  # framed already; looking for faces is no part of this
        )
    )
    parts += (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--b--\r\n"
    )
    return (
        b"POST /api/v1/convert HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % len(parts)
    ) + parts


async def drive(port: int, request: bytes, num_clients: int, seconds: float) -> Load:
    """Let clients send one request after the other, each on a connection of its own."""
    load = Load()
    deadline = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < deadline:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            status = int(head.split(b" ", 2)[1])
            load.statuses[status] += 1
            if status == 200:
                load.latencies_s.append(time.perf_counter() - started)
            else:  # a polite client waits before it tries again
                await asyncio.sleep(1)
        writer.close()

    cpu, wall = _cpu_s(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(num_clients)))
    load.wall_s = time.perf_counter() - wall
    load.client_cpu_s = _cpu_s() - cpu
    return load


def bare_rate(
    translator: Translator, threads: int, planes: images.Float32Array, batch: int, seconds: float
) -> float:
    """Run the generator alone on all cores, without decoding and encoding."""
    batched = np.repeat(planes, batch, axis=0)
    translator.run("photo2sketch", batched)
    deadline = time.perf_counter() + seconds
    counts: list[int] = []

    def work() -> None:
        count = 0
        while time.perf_counter() < deadline:
            translator.run("photo2sketch", batched)
            count += batch
        counts.append(count)

    workers = [threading.Thread(target=work) for _ in range(NUM_CORES // threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - started)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
