"""Papermill underneath: one notebook in a kernel of this very interpreter, that ends with the runner, whatever ends the runner."""

import fcntl
import logging
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aa_utils import files
from aa_utils.paths import ROOT
from aa_utils.redaction import redact
from aa_utils.runner import machine_limits

START_TIMEOUT = 120  # seconds; a busy shared machine needs more than papermill's 60
SOCKETS = "aa-kernel-"  # how the folders of sockets are called in the temporary folder
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
                    kernel_manager_class=_kernel_class(lock, sockets),
                    config=_config(sockets),
                    shutdown_kernel="immediate",  # files are closed when their cell ends; a polite end of a busy kernel takes seconds
                    on_cell_execute=lambda cell, cell_index: begun.append(cell.id),
                )
                return
            except papermill.PapermillExecutionError as error:
                raise RunError(_cell_failed(error, begun, executed)) from error
            except (DeadKernelError, CellTimeoutError) as error:
                if begun:
                    raise RunError(_kernel_gone(isinstance(error, DeadKernelError), begun, executed)) from error
                _start_failed(error, attempt)
            except RuntimeError as error:
                if begun:
                    raise
                _start_failed(error, attempt)


def _start_failed(error: Exception, attempt: int) -> None:
    message = redact(str(error).strip()) or type(error).__name__
    if attempt == 2:
        limit = machine_limits.limited_memory()
        why = f" (this shell allows it {limit} MB of memory: ulimit -v)" if limit else ""
        raise RunError(f"the kernel did not start, twice: {message}{why}") from error
    print(f"the kernel did not start ({message.splitlines()[0][:200]}); trying once more", file=sys.stderr)


def _kernel_gone(died: bool, begun: list[str], executed: Path) -> str:
    if not died:
        return f"a cell took too long in cell {begun[-1]}; see {executed}"
    if machine_limits.is_full(executed.parent):  # a memory map that cannot grow ends its process
        return machine_limits.disk_full(str(executed.parent), begun[-1])
    way_out = "use a smaller batch_size or image_size, or a machine with more memory"
    return f"the kernel died (often: out of memory) in cell {begun[-1]}; see {executed}; if it was memory, {way_out}"


def _cell_failed(error: Exception, begun: list[str], executed: Path) -> str:
    # Masked before it is cut: half a secret would not be seen.
    message = redact(str(error.evalue).strip())  # type: ignore[attr-defined]
    if error.ename == "InputError":  # type: ignore[attr-defined]
        return message
    limit = machine_limits.of_cell(error.ename, message, list(map(str, getattr(error, "traceback", None) or [])), begun[-1])  # type: ignore[attr-defined]
    if limit:
        return limit
    first = message.splitlines()[0][:500] if message else ""
    return f"{error.ename}{': ' + first if first else ''} (cell {begun[-1]}; see {executed})"  # type: ignore[attr-defined]


def _kernel_class(lock: int, folder: Path | None) -> type:
    """A kernel manager whose kernel is this very interpreter, whatever kernelspecs lie around, without the user's IPython history.

    IPython keeps its own files in `folder`: the user's startup files and settings would be no part of the record, and a container's home
    may be none that can be written.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            # ipykernel polls its parent (JPY_PARENT_PID) and ends within a second or two of it, even after kill -9.
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
            env = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # no debugger warning on stderr
            env |= {"IPYTHONDIR": str(folder / "ipython")} if folder else {}
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
    """A folder for the kernel's sockets, which only this process locks; those that a killed process left are removed."""
    longest = LONGEST_SOCKET_FOLDER - len(SOCKETS) - 9
    fits = [base for base in (tempfile.gettempdir(), "/tmp") if len(base) < longest and os.access(base, os.W_OK)]
    if not fits:
        yield None
        return
    for left in Path(fits[0]).glob(f"{SOCKETS}*"):
        _remove_stale(left)
    # It gets the name by which others look for it once it is locked.
    made = Path(tempfile.mkdtemp(prefix=f".{SOCKETS}", dir=fits[0]))
    folder = made.with_name(made.name[1:])
    try:
        with (made / "lock").open("w") as stream:
            with suppress(OSError):  # a file system without locks: nobody cleans up after a kill
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made.rename(folder)
            yield folder
    finally:
        for left in (made, folder):
            shutil.rmtree(left, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    """Remove the folder of another process if that has ended."""
    with suppress(OSError), (folder / "lock").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


class WholeFiles:
    """papermill's file handler, but a notebook is whole or absent, and no secret gets into it."""

    def read(self, path: str) -> str:
        return Path(path).read_text(encoding="utf-8")

    def write(self, text: str, path: str) -> None:
        import nbformat

        notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
        files.write_text(Path(path), nbformat.writes(_masked(notebook), version=nbformat.NO_CONVERT))

    def pretty_path(self, path: str) -> str:
        return path


def _masked(value: object) -> object:
    """A notebook, or a part of one, without secrets; pictures are left alone."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, dict):
        return type(value)({redact(key): item if key in ("image/png", "image/jpeg") else _masked(item) for key, item in value.items()})
    return value


def _no_braces(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats paths


def peak_memory_mb() -> int:
    """The largest resident memory of one finished child process (the kernel, or a worker it waited for), in MB."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kilobytes on Linux, bytes on macOS
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024))
