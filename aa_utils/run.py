"""Papermill with a seat belt: check names, types and inputs before a kernel starts; run one notebook; write its record.

    python -m aa_utils.run notebooks/30_inter_domain.ipynb --set method=dann lr=1e-4 'seeds=[0,1]' out=artifacts/my/dann

Exit codes: 0 the run is whole and `<out>/record.json` stands; 1 the notebook failed; 2 the call was wrong (nothing was started);
130 or 143 interrupted. The executed notebook is `<out>/executed.ipynb`, after a failure too. After a failure or a kill the same call
goes on: the stages themselves continue where they stopped.
"""

import argparse
import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aa_utils import files, parameters, record
from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve

START_TIMEOUT = 120  # seconds; a busy shared machine needs more than papermill's 60
DISK_FULL = re.compile(r"\[Errno 28\]|No space left on device|os error 28|\[Errno 122\]")
# A unix socket's path holds 107 bytes; the kernel's are this folder plus "/kernel-ipc-5".
LONGEST_SOCKET_FOLDER = 85

# jsonschema would load this optional URI grammar for 1.3 s at every start; notebooks are valid or not without it.
sys.modules.setdefault("rfc3987_syntax", None)


class RunError(Exception):
    """A run that started and failed; the message is for a person."""


class Interrupted(BaseException):
    """SIGTERM or SIGINT reached the runner: the kernel is shut down on the way out."""


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m aa_utils.run", description="Run one notebook with checked parameters, and record it.")
    parser.add_argument("notebook", help="such as notebooks/30_inter_domain.ipynb")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="values in YAML: lr=1e-4 'seeds=[0,1]'")
    parser.add_argument("--params", metavar="FILE.yaml", help="values as 'name: value' lines; --set wins over them")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="how long to wait for another run with the same 'out'")
    parser.add_argument("--check", action="store_true", help="check the call and stop before a kernel starts")
    options = parser.parse_args(arguments)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        notebook, known, values = check(options.notebook, parameters.given(options.set, options.params))
        if options.check:
            print(json.dumps(values, indent=2, ensure_ascii=False))
            return 0
        with locked(resolve(values["out"]), options.wait):
            done = execute(notebook, known, values)
    except InputError as error:
        return _say(str(error), 2)
    except RunError as error:
        return _say(str(error), 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _say(f"cannot write {error.filename or 'the run'}: {error.strerror}; choose another 'out', or set AA_ARTIFACTS", 1)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _say(_disk_full(error.filename), 1)
    except Interrupted as error:
        number = error.args[0]
        return _say(f"stopped by {signal.Signals(number).name}; the same call goes on from what is already written", 128 + number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    print(f"{done['notebook']} -> {done['parameters']['out']}: {done['seconds']:.0f} s, {done['peak_memory_mb']} MB, run {done['run_id']}")
    return 0


def check(notebook: str, wanted: dict[str, object]) -> tuple[Path, list[parameters.Parameter], dict[str, object]]:
    """The notebook's path, its parameters, and all their values with `wanted` put in. Errors: InputError; nothing has been started."""
    import nbformat

    path = Path(notebook) if Path(notebook).is_file() else resolve(notebook)
    if not path.is_file():
        raise InputError(f"no notebook at '{notebook}'")
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError, AttributeError) as error:
        raise InputError(f"'{notebook}' is not a notebook: {str(error).splitlines()[0][:200]}") from error
    known = parameters.of_notebook(cells, path.name)
    values = parameters.checked(known, wanted, path.name)
    out = resolve(values["out"])
    if out in (ROOT, Path.home()) or out in ROOT.parents or (out.exists() and not out.is_dir()):
        raise InputError(f"out='{values['out']}' cannot be a run's folder; give one of its own, such as artifacts/my/run")
    return path.resolve(), known, values


def execute(notebook: Path, known: list[parameters.Parameter], values: dict[str, object]) -> dict:
    """Run `notebook` with `values` in a kernel of this interpreter and return its record, written last to `<out>/record.json`.

    Errors: RunError when a cell fails or the kernel dies; OSError when the disk is full.
    """
    import nbformat

    out = resolve(values["out"])
    code = code_hash(nbformat.read(notebook, as_version=4).cells)
    inputs = [record.describe_input(name, path) for name, path in parameters.inputs(known, values)]
    # From here on the folder is not a whole run until its record stands again.
    for stale in ("record.json", "metrics.json"):
        (out / stale).unlink(missing_ok=True)
    started, clock = time.time(), time.monotonic()
    _run_kernel(notebook, out, values)
    name = notebook.relative_to(ROOT).as_posix() if notebook.is_relative_to(ROOT) else notebook.name
    done = {
        "schema": record.SCHEMA,
        "run_id": record.run_id(code, values, inputs),
        "notebook": name,
        "code_sha256": code,
        "parameters": values,
        "inputs": inputs,
        "git": record.git_state(),
        "environment": record.environment(),
        "hardware": record.hardware(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.monotonic() - clock, 1),
        "peak_memory_mb": _peak_memory_mb(),
        "metrics": record.read_metrics(out),
    }
    record.write(out, done)
    return done


def code_hash(cells: list[dict]) -> str:
    """SHA-256 of a notebook's code cells but for the parameters cell, whose values a record holds itself: prose may change freely."""
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


@contextmanager
def locked(out: Path, wait: float = 0) -> Iterator[None]:
    """Hold the exclusive lock of the folder `out`: two processes never write the same run. It ends with the process, however that ends.

    Errors: InputError if another process still holds it after `wait` seconds.
    """
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with (out / ".lock").open("a+", encoding="utf-8") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    stream.seek(0)
                    raise InputError(
                        f"another run (process {stream.read().strip() or '?'}) is writing '{out}'; wait for it or end it"
                    ) from None
                time.sleep(0.5)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _run_kernel(notebook: Path, out: Path, values: dict[str, object]) -> None:
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.iorw import papermill_io

    for noisy in ("papermill", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # what went wrong is said once, below
    papermill_io.register("/", WholeFiles())
    executed, log = out / "executed.ipynb", out / "progress.log"
    log.unlink(missing_ok=True)
    os.environ["AA_PROGRESS"] = str(log)
    begun: list[str] = []
    for attempt in (1, 2):
        with _socket_folder() as sockets:
            try:
                papermill.execute_notebook(
                    _no_braces(notebook),
                    _no_braces(executed),
                    parameters=values,
                    kernel_name="python3",
                    language="python",
                    cwd=ROOT,
                    start_timeout=START_TIMEOUT,
                    progress_bar=sys.stderr.isatty(),
                    kernel_manager_class=_kernel_class(),
                    config=_config(sockets),
                    shutdown_kernel="immediate",  # files are closed when their cell ends; a polite end of a busy kernel takes seconds
                    on_cell_execute=lambda cell, cell_index: begun.append(cell.id),
                )
                return
            except papermill.PapermillExecutionError as error:
                raise RunError(_cell_failed(error, begun, executed)) from error
            except (DeadKernelError, CellTimeoutError) as error:
                if begun:
                    why = "the kernel died (often: out of memory)" if isinstance(error, DeadKernelError) else "a cell took too long"
                    raise RunError(f"{why} in cell {begun[-1]}; see {executed}") from error
                _start_failed(error, attempt)
            except RuntimeError as error:
                if begun:
                    raise
                _start_failed(error, attempt)


def _start_failed(error: Exception, attempt: int) -> None:
    if attempt == 2:
        raise RunError(f"the kernel did not start, twice: {str(error).strip() or type(error).__name__}") from error
    print(f"the kernel did not start ({str(error).strip().splitlines()[0][:200]}); trying once more", file=sys.stderr)


def _cell_failed(error: Exception, begun: list[str], executed: Path) -> str:
    message = str(error.evalue).strip()
    if DISK_FULL.search(message):
        return _disk_full(message.partition(": ")[2].strip("'\"") or None, begun[-1])
    if error.ename == "InputError":
        return message
    first = message.splitlines()[0][:500] if message else ""
    return f"{error.ename}{': ' + first if first else ''} (cell {begun[-1]}; see {executed})"


def _disk_full(where: str | None, cell: str = "") -> str:
    what = f": could not write {where}" if where else ""
    during = f" (cell {cell})" if cell else ""
    return f"the disk is full{what}{during}; free space or set AA_ARTIFACTS to a larger disk, then run the same call again"


def _kernel_class() -> type:
    """A kernel manager whose kernel is this very interpreter, whatever kernelspecs lie around, without the user's IPython history."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            # ipykernel polls its parent (JPY_PARENT_PID) and ends within a second or two of it, even after kill -9.
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
            env = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # no debugger warning on stderr
            return KernelSpec(argv=command, env=env, display_name="Python 3", language="python")

    return Kernel


def _config(sockets: Path | None):
    from traitlets.config import Config

    config = Config()
    if sockets is not None:
        # Unix sockets: no port race between parallel runs, and nobody else on a shared node can read the traffic.
        config.KernelManager.transport = "ipc"
        config.KernelManager.connection_file = str(sockets / "kernel.json")
    return config


@contextmanager
def _socket_folder() -> Iterator[Path | None]:
    fits = [base for base in (tempfile.gettempdir(), "/tmp") if len(base) + 12 < LONGEST_SOCKET_FOLDER and os.access(base, os.W_OK)]
    folder = Path(tempfile.mkdtemp(prefix="aa-", dir=fits[0])) if fits else None
    try:
        yield folder
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


class WholeFiles:
    """papermill's file handler, but a notebook is whole or absent, and no secret of the environment gets into it."""

    def read(self, path: str) -> str:
        return Path(path).read_text(encoding="utf-8")

    def write(self, text: str, path: str) -> None:
        for name, value in os.environ.items():
            if parameters.SECRET_NAME.search(name) and len(value) >= 8:
                text = text.replace(json.dumps(value)[1:-1], "***")
        files.write_text(Path(path), text)

    def pretty_path(self, path: str) -> str:
        return path


def _no_braces(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats paths


def _peak_memory_mb() -> int:
    """The largest resident memory of one finished child process (the kernel, or a worker it waited for), in MB."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kilobytes on Linux, bytes on macOS
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024))


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(number)


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
