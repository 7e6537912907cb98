"""The jobs of an experiment in this process: Snakemake plans them, and each is the call that it would start, without a kernel of its own.

What a job is told, reads and writes is the same. That Snakemake starts, resumes and skips jobs as it should, each with a process and a
kernel to itself, is shown by tests/test_smoke_pipeline.py; a dozen starts of Python and torch would show it no better.
"""

import contextlib
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from aa_utils import run
from aa_utils.paths import ROOT
from aa_utils.runner import notebook_kernel

JOB = re.compile(r"^Job \d+: (.*)\nReason: Missing output files: ([^;\n]+).*\nShell command: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A job as Snakemake plans it: its message, the files that it must make, the module of aa_utils that it calls, and with what."""

    message: str
    outputs: list[Path]
    module: str
    arguments: list[str]


def cells(notebook: Path | str, values: dict[str, object]) -> dict[str, object]:
    """Run the code of a notebook (a path, or its name) with these parameters, from the repository's folder; returns its variables."""
    path = Path(notebook) if str(notebook).endswith(".ipynb") else ROOT / f"notebooks/{notebook}.ipynb"
    code = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    variables: dict[str, object] = {"__name__": "__main__"}
    exec(code[0], variables)
    assert not set(values) - set(variables)
    variables.update(values)
    with contextlib.chdir(ROOT):
        for source in code[1:]:
            exec(compile(source, path.name, "exec"), variables)
    return variables


def snakemake(folder: Path, experiment: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """The finished call of Snakemake on an experiment's file, from `folder`; errors stand in `stdout` as well."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2"]
    command += ["--configfile", str(experiment), *options]
    about = os.environ | environment
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3000, env=about)


def plan(folder: Path, experiment: Path, *options: str) -> list[Job]:
    """The jobs of an experiment of which nothing is made yet, each after those that it needs."""
    done = snakemake(folder, experiment, "--dry-run", "--printshellcmds", *options)
    assert done.returncode == 0, done.stdout
    jobs = []
    for message, outputs, line in JOB.findall(done.stdout):
        words = shlex.split(line)
        start = words.index("-m")
        arguments = words[start + 2 : words.index(">")]
        jobs.append(Job(message, [folder / path for path in outputs.split(", ")], words[start + 1], arguments))
    total = int(re.search(r"^total +(\d+)$", done.stdout, re.MULTILINE)[1])
    assert len(jobs) == total - 1, "all but the target `all`"
    return jobs


def make(folder: Path, experiment: Path, *options: str) -> list[Job]:
    """Run all jobs of an experiment here, with AA_ARTIFACTS and AA_DATA as they are; returns them."""
    jobs = plan(folder, experiment, *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebook_kernel, "run", lambda notebook, out, values, lock: cells(notebook, values))
        for job in jobs:
            module = run if job.module == "aa_utils.run" else importlib.import_module(f"{job.module}.__main__")
            assert module.main(job.arguments) == 0, job.message
            if job.module == "aa_utils.run":  # of the others Snakemake makes the output itself
                assert [str(path) for path in job.outputs if not path.exists()] == [], job.message
    return jobs
