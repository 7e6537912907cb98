"""The committed form of a notebook, so that a diff shows what changed and nothing else.

    python -m aa_utils.runner.normalise_notebooks [--check] [files]

Ids c00, c01, …; notebook metadata without a person's machine; cell metadata but for the tags; outputs only in cells tagged
`nbval-check-output` (facts that nbval compares) or `keep-output` (the few figures a reader on the web wants to see).
"""

import argparse
import re
import sys
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.paths import ROOT
from aa_utils.redaction import mask_output

TAGS = {"parameters", "nbval-check-output", "nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "keep-output"}
KEEPS_OUTPUT = {"nbval-check-output", "keep-output"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def normalised(text: str, name: str = "notebook") -> str:
    """The normal form of a notebook file's text; normalising it again changes nothing.

    Errors: InputError for text that is not a notebook, and for a cell whose kept output lacks its execution count or is an error.
    """
    import nbformat

    try:
        notebook = nbformat.reads(text, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise InputError(f"'{name}' is not a notebook: {str(error).splitlines()[0][:200]}") from error
    notebook = nbformat.v4.upgrade(notebook)
    cells = [_cell(cell, number, name) for number, cell in enumerate(cell for cell in notebook.cells if cell["source"].strip())]
    clean = nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(clean)
    return nbformat.writes(clean, version=nbformat.NO_CONVERT, indent=1) + "\n"


def _cell(cell: dict, number: int, name: str) -> dict:
    tags = sorted(set(cell["metadata"].get("tags", [])))
    lines = [line.rstrip() for line in cell["source"].strip("\n").split("\n")]
    clean = {
        "id": f"c{number:02d}",
        "cell_type": cell["cell_type"],
        "metadata": {"tags": tags} if tags else {},
        "source": "\n".join(lines) if cell["cell_type"] == "code" else cell["source"].strip("\n"),
    }
    if cell["cell_type"] != "code":
        return clean
    kept = cell["outputs"] if KEEPS_OUTPUT & set(tags) else []
    kept = [_output(output, name, clean["id"]) for output in kept if output.get("name") != "stderr"]
    # nbval executes but never compares a cell without a count, and calls its outputs an error.
    if kept and cell["execution_count"] is None:
        raise InputError(f"{name}, cell {clean['id']}: it has outputs but no execution count, so nbval could not check them; run it again")
    # The count itself says only how often somebody ran the cell; its place says the same in every session.
    count = number if kept else None
    for output in kept:
        if output["output_type"] == "execute_result":
            output["execution_count"] = count
    return clean | {"execution_count": count, "outputs": kept}


def _output(output: dict, name: str, cell: str) -> dict:
    if output["output_type"] == "error":
        raise InputError(f"{name}, cell {cell} holds an error ({output.get('ename')}); run the notebook again before committing it")
    clean = {key: value for key, value in output.items() if key != "metadata"}
    if output["output_type"] in ("execute_result", "display_data"):
        clean["metadata"] = {}
        # A memory address changes with every run.
        data = dict(output["data"])
        if "text/plain" in data:
            data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])
        clean["data"] = data
    return clean


def main(arguments: list[str] | None = None) -> int:
    """Normalise the notebooks given (by default all) in place; with --check only say which are not normal. Returns the exit code."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(
        prog="python -m aa_utils.runner.normalise_notebooks", description="Bring notebooks into their committed form."
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a notebook is not in its normal form")
    options = parser.parse_args(arguments)
    found = options.files or sorted((ROOT / "notebooks").glob("*.ipynb"))
    changed = []
    try:
        for path in found:
            before = path.read_text(encoding="utf-8")
            after = normalised(before, path.name)
            if after != before:
                changed.append(path.name)
                if not options.check:
                    files.write_text(path, after)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if changed:
        verb = "not in normal form (run: python -m aa_utils.runner.normalise_notebooks)" if options.check else "normalised"
        print(f"{verb}: {', '.join(changed)}", file=sys.stderr if options.check else sys.stdout)
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
