"""nbval, lax: facts in cells tagged `nbval-check-output` are compared; what cannot be stable, or is tested elsewhere, is not.

Each notebook runs as in a fresh clone (`aa_utils.runner.fresh_clone`), so that it reads what ships and nothing that another one left.
Trainings are cut short (SHORTER): they go through the same cells, and no output that is compared depends on how long they are.
"""

import os
import tempfile

import pytest

from aa_utils.runner import fresh_clone

# Notebook -> parameters with smaller values than its defaults.
SHORTER: dict[str, dict[str, int]] = {
    "02_tour": {"steps": 60, "refine_steps": 20, "moons_steps": 50, "pull_steps": 6},
    "30_inter_domain": {"steps": 60},
    "40_intra_domain": {"steps": 20},
    "41_oracle": {"steps": 60},
    "71_adapt_generator": {"steps": 16},
    "76_dreambooth_guide": {"steps": 10},
}

_folder: dict[str, tempfile.TemporaryDirectory] = {}  # of the notebook that runs now


def pytest_collectstart(collector):
    # stderr holds other packages' warnings; HTML repeats the text; figures are tested by the CSV of their points.
    if collector.path.suffix == ".ipynb" and hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")


@pytest.hookimpl(tryfirst=True)  # before nbval starts the notebook's kernel, which gets this environment
def pytest_runtest_setup(item):
    name = str(item.path)
    if item.path.suffix == ".ipynb" and name not in _folder:
        pytest_sessionfinish()
        _folder[name] = tempfile.TemporaryDirectory(prefix="aa-alone-", ignore_cleanup_errors=True)
        os.environ.update(fresh_clone.environment(_folder[name].name))
    if item.path.suffix == ".ipynb" and "parameters" in item.cell.metadata.get("tags", []):
        shorter = SHORTER.get(item.path.stem, {})
        item.cell.source = "\n".join([item.cell.source, *(f"{parameter} = {value}" for parameter, value in shorter.items())])


def pytest_sessionfinish():
    for folder in _folder.values():
        folder.cleanup()
    _folder.clear()
