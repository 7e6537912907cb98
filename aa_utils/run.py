"""Papermill with a seat belt: check names, types and inputs before a kernel starts; run one notebook; write its record.

    python -m aa_utils.run notebooks/30_inter_domain.ipynb --set method=dann lr=1e-4 'seeds=[0,1]' out=artifacts/my/dann

Exit codes: 0 the run is complete and `<out>/record.json` is written; 1 the notebook failed; 2 the call was wrong (nothing was started);
130 or 143 interrupted. The executed notebook is `<out>/executed.ipynb`, after a failure too. After a failure or a kill the same call
resumes: each stage continues where it stopped. A call that fails before it has written anything leaves a finished run in its folder as it
was, and its own notebook as `<out>/failed.ipynb`. If another process has just finished the same run, its result is kept.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.paths import ROOT, resolve
from aa_utils.redaction import mask_output, redact
from aa_utils.runner import code_closure, finished_run, machine_limits, notebook_kernel, parameters, record

SINCE = "AA_SINCE"  # set by whatever starts several runs (the Snakefile): seconds since 1970 when it began


class Interrupted(BaseException):
    """SIGTERM or SIGINT reached the runner; the kernel is shut down before it exits."""


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook from the command line; returns the exit code."""
    if arguments is None:
        mask_output()
    begun = float(os.environ.get(SINCE) or time.time())
    parser = argparse.ArgumentParser(prog="python -m aa_utils.run", description="Run one notebook with checked parameters, and record it.")
    parser.add_argument("notebook", help="such as notebooks/30_inter_domain.ipynb")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="values in YAML: lr=1e-4 'seeds=[0,1]'")
    parser.add_argument("--params", metavar="FILE.yaml", help="values as 'name: value' lines; --set wins over them")
    parser.add_argument("--wait", type=float, default=5, metavar="SECONDS", help="how long to wait for another run of the same 'out' (5)")
    parser.add_argument("--check", action="store_true", help="check the call and stop before a kernel starts")
    options = parser.parse_args(arguments)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        notebook, known, values = check(options.notebook, parameters.overrides(options.set, options.params))
        if options.check:
            print(json.dumps(values, indent=2, ensure_ascii=False))
            return 0
        machine_limits.open_files()
        with locked(resolve(values["out"]), options.wait) as lock:  # type: ignore[arg-type]
            done = execute(notebook, known, values, lock, begun)
    except InputError as error:
        return _say(str(error), 2)
    except notebook_kernel.RunError as error:
        return _say(str(error), 1)
    except (OSError, MemoryError) as error:
        limit = machine_limits.of_error(error) if isinstance(error, OSError) else machine_limits.sentence("MemoryError")
        if not limit:
            raise
        return _say(limit, 1)
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
    return path.resolve(), known, values


def execute(notebook: Path, known: list[parameters.Parameter], values: dict[str, object], lock: int, begun: float | None = None) -> dict:
    """Run `notebook` with `values` in a kernel of this interpreter and return its record, written last to `<out>/record.json`.

    `lock` is what `locked` yields. A record of the same call that another process wrote after `begun` (seconds since 1970) is returned
    unchanged. Errors: notebook_kernel.RunError when a cell fails or the kernel dies; OSError when the disk is full.
    """
    out = resolve(values["out"])  # type: ignore[arg-type]
    inputs = [record.describe_input(name, path) for name, path in parameters.inputs(known, values)]
    code = record.code_of(notebook, values, inputs)
    run_id = record.run_id(code, values, inputs)
    standing = finished_run.since(out, time.time() if begun is None else begun, run_id, values)
    if standing is not None:
        return standing
    try:
        with finished_run.set_aside(out):
            return _execute(notebook, out, values, lock, {"run_id": run_id, "code": code, "inputs": inputs})
    except notebook_kernel.RunError as error:
        if not (out / finished_run.FAILED).exists():
            raise
        moved = str(error).replace(str(out / "executed.ipynb"), str(out / finished_run.FAILED))
        raise notebook_kernel.RunError(moved) from error


def _execute(notebook: Path, out: Path, values: dict[str, object], lock: int, identity: dict) -> dict:
    started, clock = time.time(), time.monotonic()
    notebook_kernel.run(notebook, out, values, lock)
    name = notebook.relative_to(ROOT).as_posix() if notebook.is_relative_to(ROOT) else notebook.name
    done = {
        "schema": record.SCHEMA,
        "run_id": identity["run_id"],
        "notebook": name,
        "code": identity["code"],
        "parameters": values,
        "inputs": identity["inputs"],
        "git": record.git_state(identity["code"]),
        "environment": record.environment(),
        "hardware": record.hardware(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.monotonic() - clock, 1),
        "peak_memory_mb": notebook_kernel.peak_memory_mb(),
        "metrics": record.read_metrics(out),
        "outputs": finished_run.outputs(out),
    }
    edited = code_closure.changes(identity["code"], record.code_of(notebook, values, identity["inputs"]))
    if edited:  # what of it the kernel had read already cannot be known
        print(f"edited while the run was on its way: {', '.join(edited)}; its record says so, and verify will name it", file=sys.stderr)
        done["edited"] = edited
    record.write(out, done)
    return done


@contextmanager
def locked(out: Path, wait: float = 0) -> Iterator[int]:
    """Hold the exclusive lock of the folder `out`, so that two processes never write the same run; yields its file descriptor.

    The lock ends with the last process that holds it (this one and its kernel), however that ends.
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
                    holder = stream.read().strip() or "?"
                    raise InputError(f"another run (process {holder}) is writing '{out}'; wait for it or end it") from None
                time.sleep(0.5)
            except OSError as error:  # a file system that has no locks
                raise InputError(f"'{out}' cannot be locked ({error.strerror}); put AA_ARTIFACTS on a file system with flock") from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield stream.fileno()


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(number)


def _say(message: str, code: int) -> int:
    print(redact(message), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
