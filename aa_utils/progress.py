"""Progress of a long loop as plain text: a bar for a person at a terminal, a line every few seconds in the run's log file.

Notebook cells stay clean: nothing is printed to them, so outputs are the same on every run.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from aa_utils.redaction import redact

COMPUTES_NOTHING = "how far a run is"
SECONDS_BETWEEN_LINES = 5.0


def progress(iterable: Iterable, what: str, total: int | None = None, unit: str = "step") -> Iterator:
    """Yield the items of `iterable`, saying how far it is.

    `what` names the work ("generate"), `total` is the number of items (by default `len(iterable)` where there is one) and `unit` one item
    ("image"). Under `python -m aa_utils.run` the lines go to the file named by the environment variable `AA_PROGRESS`; at a terminal a tqdm
    bar goes to stderr; elsewhere (Jupyter cells, tests) it is silent.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    if os.environ.get("AA_PROGRESS"):
        yield from _to_file(iterable, what, total, unit, Path(os.environ["AA_PROGRESS"]))
    elif sys.stderr is not None and sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(iterable, desc=what, total=total, unit=unit, leave=False)
    else:
        yield from iterable


def note(message: str) -> None:
    """Append one line to the run's log file; nothing happens where there is none."""
    if os.environ.get("AA_PROGRESS"):
        _append(Path(os.environ["AA_PROGRESS"]), message)


def warn(message: str) -> None:
    """Say on stderr, and in the run's log file, what somebody should know of a run that goes on."""
    print(redact(message), file=sys.stderr)
    note(message)


def _to_file(iterable: Iterable, what: str, total: int | None, unit: str, path: Path) -> Iterator:
    started = last = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            _append(path, _line(what, done, total, unit, now - started))
    _append(path, _line(what, done, total, unit, time.monotonic() - started) + ", done")


def _line(what: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    rate = done / seconds if seconds > 0 else 0.0
    of = f"/{total}" if total is not None else ""
    text = f"{what}: {done}{of} {unit}s, {rate:.1f} {unit}s/s, {_clock(seconds)}"
    if total and rate and done < total:
        text += f", {_clock((total - done) / rate)} to go"
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _append(path: Path, message: str) -> None:
    # A log line is never worth a run: where the disk is full or the folder is gone, the work itself says so.
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {redact(message)}\n")
    except OSError:
        pass
