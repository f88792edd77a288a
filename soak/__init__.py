"""Fault campaigns: training is killed, servers are fed with junk, weights are damaged.

    python -m soak                      all of them, as `make soak` does
    python -m soak.uploads --seed 7 --count 500

A campaign says what it tried, how often, and what happened; it fails where something broke a
promise. All that is random comes from the seed. What moments a kill meets depends on the machine,
too. tests/integration/test_soak.py runs a sample of each.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # pictures, runs and servers of tests
