"""Requests to the server from a seeded generator, hostile and good ones, as bytes to send."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from soak import hostile
from soak.hostile import good_picture

Delivery = Literal["whole", "slow", "half closed", "hung up"]

CONVERT, BATCH, LEGACY = "/api/v1/convert", "/api/v1/batch", "/convert"
BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
GOOD = "a good request"

FIELDS: dict[str, tuple[str, ...]] = {
    "direction": ("photo2sketch", "sketch2photo", "auto", "upwards", ""),
    "format": ("png", "jpeg", "webp", "tiff"),
    "align": ("none", "portrait", "whole", "face"),
    "faces": ("largest", "all", "0"),
    "size": ("64", "512", "0", "-1", "1e9", "nan", "\u0662\u0665\u0666"),
    "round_trip": ("true", "false", "perhaps"),
    "style": ("line", "no_such_style", "../line"),
    "colour": ("red",),
}


@dataclass(frozen=True)
class Request:
    """What is sent to a server.

    Attributes:
        kind: What is wrong with it, or `GOOD`.
        data: All bytes.
        delivery: How they are sent: at once, in pieces, half of them and then the client closes
            its side of the connection, or all of it.
    """

    kind: str
    data: bytes
    delivery: Delivery = "whole"

    @property
    def must_be_answered(self) -> bool:
        """Whether a server has to answer: where a request does not end, it may close instead."""
        return self.delivery in ("whole", "slow") and not self.kind.startswith("HTTP: ")


def hostile_request(seed: int, number: int) -> Request:
    """Make a hostile request: two of three carry a hostile picture."""
    rng = random.Random(f"request {seed} {number}")
    if number % 3:
        picture = hostile.picture(seed, number - number // 3)
        return Request(f"picture: {picture.kind}", _post_picture(rng, picture.data))
    kind = list(KINDS)[number // 3 % len(KINDS)]
    return KINDS[kind](rng, kind)


def good_request(seed: int, number: int) -> Request:
    """Make a request that has to be answered with 200."""
    rng = random.Random(f"good {seed} {number}")
    if number % 10 == 9:
        path = rng.choice(["/", "/healthz", "/readyz", "/metrics", "/api/v1/models", "/api/docs"])
        return Request(GOOD, http("GET", path))
    fields = {"direction": rng.choice(FIELDS["direction"][:3])}
    fields |= {"format": rng.choice(FIELDS["format"][:3]), "align": rng.choice(FIELDS["align"][:3])}
    if number % 10 == 8:
        pictures = [good_picture(rng) for _ in range(rng.randint(1, 4))]
        return Request(GOOD, http("POST", BATCH, form(fields, images=pictures)))
    return Request(GOOD, http("POST", CONVERT, form(fields, image=[good_picture(rng)])))


def http(method: str, path: str, body: bytes = b"", kind: str = FORM, *headers: str) -> bytes:
    """Write a request that closes its connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if method == "POST":
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def form(fields: dict[str, str], **files: list[bytes]) -> bytes:
    """Write a multipart form."""
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts += [
        f'{head}"{name}"; filename="a.png"\r\n\r\n'.encode() + data + b"\r\n"
        for name, each in files.items()
        for data in each
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _post_picture(rng: random.Random, data: bytes) -> bytes:
    path = rng.choice([CONVERT, CONVERT, BATCH, LEGACY])
    if path == BATCH:
        return http("POST", path, form({}, images=[data, *[good_picture(rng)] * rng.randrange(3)]))
    legacy = {"conversion_type": rng.choice(["face_to_sketch", "sketch_to_face"])}
    chosen = rng.sample(["align", "format", "direction"], rng.randrange(3))
    fields = {name: rng.choice(FIELDS[name][:3]) for name in chosen}
    return http("POST", path, form(legacy if path == LEGACY else fields, image=[data]))


def _good_form(rng: random.Random) -> bytes:
    return form({}, image=[good_picture(rng)])


def _wrong_fields(rng: random.Random, kind: str) -> Request:
    names = rng.choices(list(FIELDS), k=rng.randint(1, 4))
    fields = {name: rng.choice(FIELDS[name]) for name in names}
    files = {
        rng.choice(["image", "images", "file"]): [good_picture(rng)] * rng.choice([0, 1, 2, 17])
    }
    return Request(kind, http("POST", rng.choice([CONVERT, BATCH, LEGACY]), form(fields, **files)))


def _broken_form(rng: random.Random, kind: str) -> Request:
    body = _good_form(rng)
    boundary = BOUNDARY.encode()
    body = rng.choice(
        [
            body[: rng.randrange(len(body))],
            body.replace(boundary, b"another", 1),
            body.replace(b"form-data", rng.choice([b"", b"attachment", b"form-data; " * 50])),
            body.replace(
                b'name="image"', rng.choice([b"name=image", b'name="', b"name*=utf-8''%ff"])
            ),
            body.replace(b'"a.png"', b'"' + b"../" * 5_000 + b'"'),
            body.replace(b'"a.png"', b'"\0\xff\r\nX: y"'),
            body.replace(b"\r\n", rng.choice([b"\n", b"\r", b"\r\n\r\n"])),
            b"--a-boundary\r\n" * rng.choice([1, 1_000]) + body,
            form({f"f{number}": "x" for number in range(rng.choice([10, 100, 5_000]))}),
            form({"direction": "x" * rng.choice([1_000, 600_000])}),
            rng.randbytes(2_000),
            b"",
        ]
    )
    content = rng.choice(
        [FORM, FORM, FORM, "multipart/form-data", "multipart/form-data; boundary=",
         "multipart/form-data; boundary=" + "b" * 5_000, "application/json", "text/plain", "/"]
    )  # fmt: skip
    return Request(kind, http("POST", rng.choice([CONVERT, BATCH]), body, content))


def _huge_headers(rng: random.Random, kind: str) -> Request:
    size = rng.choice([10_000, 300_000, 2_000_000])
    header = rng.choice(["Cookie", "Accept", "Authorization", "X-Forwarded-For", "Range", "Origin"])
    value = rng.choice(["a", "a,", "127.0.0.1,", "bytes=0-1,", "\xff"])
    many = [f"X-{number}: y" for number in range(2_000)]
    long = f"{header}: {value * (size // len(value))}"
    lines = rng.choice([[long], many])
    path = rng.choice([CONVERT, CONVERT, "/" + "a" * size, "/%00%ff?" + "a=b&" * 2_000])
    return Request(kind, http("POST", path, _good_form(rng), FORM, *lines))


def _broken_http(rng: random.Random, kind: str) -> Request:
    whole = http("POST", CONVERT, _good_form(rng))
    length = b"Content-Length: "
    return Request(
        kind,
        rng.choice(
            [
                whole.replace(b"HTTP/1.1", rng.choice([b"HTTP/9.9", b"", b"HTTP/1.1" * 2_000])),
                whole.replace(b"POST", rng.choice([b"BREW", b"TRACE", b"POST\0", b"P" * 9_999])),
                whole.replace(length, rng.choice([b"Content-Length: -", b"Content-Length: 9"])),
                whole.replace(length, length + b"5\r\n" + length),
                whole.replace(length, b"Transfer-Encoding: chunked\r\nX-Length: "),
                whole.replace(length, b"Transfer-Encoding: gzip, chunked\r\n" + length),
                whole.replace(b"Host: localhost", b"Host: \0[::1"),
                whole.replace(b"\r\nConnection", b"\n Connection"),
                whole.replace(b"Connection: close", b"Expect: 100-continue\r\nConnection: close"),
                whole.replace(b"Connection: close", b"Connection: close, upgrade\r\nUpgrade: h2c"),
                rng.randbytes(500),
                b"\x16\x03\x01\x02\0\x01\0\x01\xfc" + rng.randbytes(300),  # TLS on a plain port
                b"\r\n" * rng.choice([1, 5_000]) + whole,
                whole[: rng.randrange(1, 60)],
            ]
        ),
        "half closed",  # else a request that is not whole waits for its rest
    )


def _chunked(rng: random.Random, kind: str) -> Request:
    body = _good_form(rng)
    size = rng.choice([b"%x" % len(body), b"-1", b"zz", b"%x" % (len(body) + 9), b"f" * 5_000])
    chunks = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
    head = http("POST", CONVERT).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return Request(kind, head + chunks, "half closed")


def _too_large(rng: random.Random, kind: str) -> Request:
    return Request(kind, http("POST", CONVERT, form({}, image=[bytes(rng.choice([21, 30]) << 20)])))


def _as(delivery: Delivery) -> Callable[[random.Random, str], Request]:
    def make(rng: random.Random, kind: str) -> Request:
        whole = Request(kind, http("POST", CONVERT, _good_form(rng)), delivery)
        if delivery == "slow":
            return whole
        return replace(whole, data=whole.data[: rng.randrange(1, len(whole.data))])

    return make


KINDS: dict[str, Callable[[random.Random, str], Request]] = {
    "wrong fields": _wrong_fields,
    "broken form": _broken_form,
    "HTTP: huge headers": _huge_headers,
    "HTTP: broken": _broken_http,
    "HTTP: chunks": _chunked,
    "HTTP: larger than the limit": _too_large,
    "slow upload": _as("slow"),
    "half-closed in the middle": _as("half closed"),
    "hung up in the middle": _as("hung up"),
}
"""What may be wrong with a request, and what makes one."""
