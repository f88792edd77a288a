"""All fault campaigns, one after the other: `python -m soak [--seed 0] [--share 1]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from soak.campaign import Campaign, Report, finish
from soak.full_disk import fill_disk
from soak.fuzz_decode import fuzz, read_hostile
from soak.mixed_load import mix
from soak.server_stops import stop_servers
from soak.training_faults import disturb_training
from soak.training_kills import kill_training
from soak.uploads import upload
from soak.weights import try_weights

CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "training_kills": (kill_training, 100),
    "training_faults": (disturb_training, 10),
    "full_disk": (fill_disk, 10),
    "uploads": (upload, 10_000),
    "server_stops": (stop_servers, 20),
    "weights": (try_weights, 320),
    "hostile_pictures": (read_hostile, 10_000),
    "mixed_load": (mix, 60),
    "fuzz_decode": (fuzz, 10),
}
"""What there is, and how often each tries, or for how many minutes."""


def main() -> None:
    """Run all of them, or some; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of all that is random [0]")
    parser.add_argument("--share", type=float, default=1, help="of the full counts [1]")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report as JSON, too")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)} [all]")
    args = parser.parse_args()
    if unknown := set(args.names) - set(CAMPAIGNS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose of {', '.join(CAMPAIGNS)}")
    everything = Report()
    for name in args.names or CAMPAIGNS:
        campaign, count = CAMPAIGNS[name]
        print(f"== {name}", flush=True)
        report = campaign(args.seed, max(1, round(args.share * count)))
        report.tell()
        everything.merge(name, report)
        everything.write(args.out)
    finish(everything, args.out)


if __name__ == "__main__":
    main()
