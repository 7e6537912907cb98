"""`python -m aa_utils.experiment FILE`: check an experiment file and print its results folder."""

import argparse
import sys
from pathlib import Path

from aa_utils.errors import InputError
from aa_utils.experiment import check, keys, place
from aa_utils.experiment.scale import scaled
from aa_utils.files import text
from aa_utils.redaction import mask_output
from aa_utils.runner import parameters


def main(arguments: list[str] | None = None) -> int:
    """Check an experiment file and print its results folder; returns the exit code."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.experiment", description="Check an experiment and print its results folder.")
    parser.add_argument("file")
    parser.add_argument("--scale", default="", help="one of the file's scales, such as smoke")
    options = parser.parse_args(arguments)
    try:
        if not Path(options.file).is_file():
            raise InputError(f"no experiment at '{options.file}'")
        config = parameters.read_yaml(text.read(Path(options.file)), f"'{options.file}'")
        print(place(check(scaled(keys.mapping(config, "the file", options.file), options.scale, options.file), options.file)["results"]))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
