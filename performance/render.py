"""How fast the pocket world is drawn: python performance/render.py [--pictures 8192] [--workers 2]

Pictures a second of `aa_utils.pocket.pool`, one thread a worker, in the same run for one worker and for `--workers`.
Writes performance/results/render-<hardware>.csv. Nothing else should run on the cores it uses.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import pandas as pd

from aa_utils.paths import ROOT
from aa_utils.pocket import pool
from aa_utils.runner import record


def main() -> None:
    """Measure, print, and write the CSV of this hardware."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4 * pool.PART)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = []
    for workers in sorted({1, options.workers}):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            pool.load(Path(folder), options.pictures, seed=0, workers=workers)
            seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        rows.append(
            {
                "workers": workers,
                "pictures": options.pictures,
                "seconds": round(seconds, 2),
                "pictures_per_second": round(options.pictures / seconds),
            }
        )
        rows[-1]["peak_memory_mb_of_a_worker"] = peak
    name = "-".join(record.hardware()["cpu"].lower().split())
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "performance" / "results" / f"render-{name}.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
