"""Fuzzes the reading of pictures, guided by coverage of Pillow's Python code and ours.

    pip install 'facesketch[fuzz]'
    python -m soak.fuzz_decode --seed 0 --count 10

Whatever bytes come, `images.open_image` has to return a picture or raise ImageError. It begins with
the hostile pictures of `soak.hostile`. Pillow's decoders in C are run, but not measured.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from facesketch import images
from facesketch.decoding import limit_texts
from facesketch.errors import ImageError
from soak import campaign, hostile
from soak.campaign import Report

MAX_PIXELS = 1_000_000
NUM_FIRST = 500
MAX_LENGTH, MEMORY_MB, SLOW_S = 20_000, 2_500, 20
FORMATS = tuple(images.UPLOAD_TYPES)
READ = "hostile pictures read"
TRIED = "reading of pictures fuzzed"


def read(data: bytes) -> bool:
    """Read a file as the server does; say whether it was a picture.

    Raises:
        Exception: Any but ImageError, which is what is looked for.
    """
    limit_texts()
    try:
        images.stored_size(data, max_pixels=MAX_PIXELS, formats=FORMATS)
        image = images.open_image(data, max_pixels=MAX_PIXELS, formats=FORMATS, draft_size=64)
    except ImageError:
        return False
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= MAX_PIXELS
    return True


def read_hostile(seed: int, count: int) -> Report:
    """Read so many hostile pictures, without a fuzzer."""
    report = Report()
    for number in range(count):
        picture = hostile.picture(seed, number)
        try:
            report.add(READ, "a picture" if read(picture.data) else "refused in a sentence")
        except Exception as error:  # noqa: BLE001  # what is looked for
            report.add(READ, "another error", f"{seed}, {number} ({picture.kind}): {error!r}")
    return report


def fuzz(seed: int, minutes: int) -> Report:
    """Fuzz for some minutes in a process of its own."""
    report = Report()
    if find_spec("atheris") is None:
        report.add(TRIED, "not run", "atheris is missing; run  pip install 'facesketch[fuzz]'")
        return report
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(NUM_FIRST):
            data = hostile.picture(seed, number).data
            if len(data) <= MAX_LENGTH:
                (folder / f"{number:04}").write_bytes(data)
        options = {
            "seed": seed + 1,  # 0 lets it choose one
            "max_total_time": 60 * minutes,
            "max_len": MAX_LENGTH,
            "rss_limit_mb": MEMORY_MB,
            "timeout": SLOW_S,
            "artifact_prefix": f"{Path(tempfile.gettempdir()) / 'fuzz-'}",
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [sys.executable, "-m", "soak.fuzz_target", *words, str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    runs = re.search(r"Done (\d+) runs? in (\d+) second", done.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
    wrong = None if done.returncode == 0 and runs else done.stderr[-3_000:]
    report.add(TRIED, f"{minutes} min, no failure" if wrong is None else "a failure", wrong)
    if runs and covered:
        keys = ("coverage", "features", "corpus")
        report.measured = {"runs": int(runs[1]), "seconds": int(runs[2])}
        report.measured |= dict(zip(keys, map(int, covered[-1]), strict=True))
        print(report.measured)
    return report


if __name__ == "__main__":
    campaign.run(fuzz, __doc__, count=10, of_what="minutes")
