"""nbval, lax: facts in cells tagged `nbval-check-output` are compared; what cannot be stable, or is tested elsewhere, is not.

Each notebook runs as in a fresh clone (`aa_utils.runner.fresh_clone`), so that it reads what ships and nothing that another one left.
"""

import os
import tempfile

import pytest

from aa_utils.runner import fresh_clone

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


def pytest_sessionfinish():
    for folder in _folder.values():
        folder.cleanup()
    _folder.clear()
