"""`adapt-anything`: the command for people. Each subcommand calls what a `python -m aa_utils…` module does; no logic of its own.

adapt-anything photos my/folder --classes "mug, plate"
adapt-anything run notebooks/30_inter_domain.ipynb --set method=dann
adapt-anything data office31
adapt-anything verify results/pocket
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from aa_utils import __version__
from aa_utils.errors import InputError
from aa_utils.paths import ROOT, expanded
from aa_utils.redaction import mask_output

EPILOG = """examples:
  a classifier for 200 scans of digits, on a laptop, offline, in three minutes:
    adapt-anything photos examples/scans --params examples/scans.yaml
  one for your own photos, with Stable Diffusion on a GPU:
    adapt-anything photos my/folder --classes "mug, plate, alarm clock"
  any notebook with other values, checked before it starts and recorded when it ends:
    adapt-anything run notebooks/30_inter_domain.ipynb --set method=mcd 'seeds=[0,1,2]' out=artifacts/mine/mcd
  do the committed tables follow from their records, and is their code still today's?
    adapt-anything verify results/pocket
"""
THINGS = "examples/stable_diffusion.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Call a subcommand; returns its exit code: 0 well, 1 it ran and failed, 2 the call was wrong."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(
        prog="adapt-anything",
        description="An image classifier for your unlabelled photos, from category names alone.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"adapt-anything {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    photos = commands.add_parser(
        "photos",
        help="your folder of photos and class names become a classifier, predictions and a report",
        description="Runs notebooks/90_adapt_your_images.ipynb. The report is <out>/report.html, the classifier <out>/classifier/.",
    )
    photos.add_argument("folder", help="your pictures; sub-folders are read too")
    photos.add_argument("--classes", metavar='"A, B"', help="what is on them: at least two names, with commas between them")
    photos.add_argument("--params", default=THINGS, metavar="FILE", help=f"all other settings ({THINGS}: photos of things, on a GPU)")
    photos.add_argument("--out", metavar="FOLDER", help="where everything goes (artifacts/<name of the folder>)")
    photos.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="single settings, over --params")
    photos.add_argument("--check", action="store_true", help="show all settings and stop before anything runs")
    for name, what in (
        ("run", "one notebook, with checked parameters and a record: python -m aa_utils.run"),
        ("data", "what a benchmark's folder holds, what is wrong with it, and where to get it: python -m aa_utils.benchmarks"),
        ("verify", "do results follow from their records, and from today's code: python -m aa_utils.verify"),
    ):
        commands.add_parser(name, help=what, add_help=False)
    options, rest = parser.parse_known_args(arguments)
    if options.command == "photos":
        if rest:
            parser.error(f"photos does not take '{rest[0]}'; see adapt-anything photos --help")
        check = ["--check"] if options.check else []
        try:
            settings = _photo_settings(options)
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        return _run(["notebooks/90_adapt_your_images.ipynb", *check, "--params", options.params, "--set", *settings])
    if options.command == "run":
        return _run(rest)
    if options.command == "data":
        from aa_utils.benchmarks.__main__ import main as data

        return data(rest)
    from aa_utils.verify import main as verify

    return verify(rest)


def _photo_settings(options: argparse.Namespace) -> list[str]:
    """The parameters of notebook 90 that the command line names. Errors: InputError for a home folder that nobody knows."""
    folder = expanded(options.folder)
    there = os.path.isdir(folder)
    settings = [f"photos={folder.absolute() if there else options.folder}"]
    if options.classes:
        names = [name.strip() for name in options.classes.split(",") if name.strip()]
        settings.append(f"class_names={json.dumps(names, ensure_ascii=False)}")
    if options.out or options.params == THINGS:
        settings.append(f"out={options.out or f'artifacts/{(folder.resolve() if there else folder).name}'}")
    return settings + options.set


def _run(arguments: list[str]) -> int:
    if not (ROOT / "notebooks").is_dir():
        print("the notebooks are not part of an installed package; run this in a clone of the repository", file=sys.stderr)
        return 2
    from aa_utils.run import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
