"""Papermill underneath: one notebook in a kernel of this very interpreter, that ends with the runner, whatever ends the runner."""

import json
import logging
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aa_utils import files
from aa_utils.paths import ROOT
from aa_utils.runner import parameters

START_TIMEOUT = 120  # seconds; a busy shared machine needs more than papermill's 60
DISK_FULL = re.compile(r"\[Errno (28|122)\]|No space left on device|os error 28")
# A unix socket's path holds 107 bytes; the kernel's are this folder plus "/kernel-ipc-5".
LONGEST_SOCKET_FOLDER = 85

# jsonschema would load this optional URI grammar for 1.3 s at every start; notebooks are valid or not without it.
sys.modules.setdefault("rfc3987_syntax", None)


class RunError(Exception):
    """A run that started and failed; the message is for a person."""


def run(notebook: Path, out: Path, values: dict[str, object], lock: int) -> None:
    """Execute `notebook` with `values`; `<out>/executed.ipynb` and `<out>/progress.log` follow it while it runs.

    `lock` is the descriptor of the folder's lock: the kernel holds it too, so that it stays locked as long as anybody writes.
    Errors: RunError when a cell fails, the kernel dies, or does not start at the second try; OSError when the disk is full.
    """
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
                    kernel_manager_class=_kernel_class(lock),
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
        return disk_full(message.partition(": ")[2].strip("'\"") or None, begun[-1])
    if error.ename == "InputError":
        return message
    first = message.splitlines()[0][:500] if message else ""
    return f"{error.ename}{': ' + first if first else ''} (cell {begun[-1]}; see {executed})"


def disk_full(where: str | None, cell: str = "") -> str:
    """What to say when there is no space left to write `where`."""
    what = f": could not write {where}" if where else ""
    during = f" (cell {cell})" if cell else ""
    return f"the disk is full{what}{during}; free space or set AA_ARTIFACTS to a larger disk, then run the same call again"


def _kernel_class(lock: int) -> type:
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

        async def start_kernel(self, **options: object) -> None:
            await super().start_kernel(pass_fds=(lock,), **options)

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


def peak_memory_mb() -> int:
    """The largest resident memory of one finished child process (the kernel, or a worker it waited for), in MB."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kilobytes on Linux, bytes on macOS
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024))
