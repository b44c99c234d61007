"""`python -m tests.fuzz [--seconds N] [--seed S]`: try mutated input until the time is over.

Prints the seed first. A finding is made smaller, printed, and written to tests/fuzz/corpus, where test_corpus.py
tries it for ever after; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz.campaign import Campaign
from tests.security.bench import running_bench


def main() -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=Random().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, running_bench(Path(folder)) as bench:
        campaign = Campaign(bench, options.seed)
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline:
            campaign.round()
        print(campaign.summary())
    for finding in campaign.findings:
        print(finding.text())
        finding.keep()
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
