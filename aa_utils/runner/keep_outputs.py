"""Run notebooks as in a fresh clone, and keep the outputs of the cells tagged `keep-output` or `nbval-check-output` in their files.

python -m aa_utils.runner.keep_outputs notebooks/71_adapt_generator.ipynb
"""

import argparse
import sys
import tempfile
from pathlib import Path

from aa_utils import files
from aa_utils.paths import ROOT
from aa_utils.redaction import mask_output
from aa_utils.runner import fresh_clone
from aa_utils.runner.normalise_notebooks import normalised

COMPUTES_NOTHING = "what people see of a notebook on the web"


def keep(path: Path) -> int:
    """Run the notebook at `path` with its defaults and write it back in its normal form; returns the bytes of its file.

    Errors: papermill's PapermillExecutionError where a cell fails; the file is then as it was.
    """
    import nbformat
    import papermill

    with tempfile.TemporaryDirectory(prefix="aa-alone-", ignore_cleanup_errors=True) as folder, fresh_clone.entered(folder):
        done = papermill.execute_notebook(str(path), f"{folder}/done.ipynb", kernel_name="python3", cwd=str(ROOT), progress_bar=False)
    files.write_text(path, normalised(nbformat.writes(done), path.name))
    return path.stat().st_size


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks named; returns the exit code."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.runner.keep_outputs", description=str(__doc__).partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="such as notebooks/71_adapt_generator.ipynb")
    for path in parser.parse_args(arguments).files:
        print(f"{path.name}: {keep(path):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
