"""One shard of 20_generate from the command line, for many machines or GPUs at once.

    python -m aa_utils.generate --shard 3 --num-shards 8 --set prompts=artifacts/my/prompts/prompts.jsonl out=artifacts/my/images

Values have the names and types of that notebook's parameters; settings.py has their defaults. When all shards are through, run the notebook
with the same values: it finds every image there, gives the CLIP scores, and leaves the record of the folder.
"""

import argparse
import sys

from aa_utils.errors import InputError
from aa_utils.generate import any_model, presets
from aa_utils.generate.openai_images import Service
from aa_utils.generate.settings import Settings
from aa_utils.redaction import mask_output
from aa_utils.runner import parameters


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 the disk is full, 2 the call was wrong."""
    if arguments is None:
        mask_output()
    parser = argparse.ArgumentParser(prog="python -m aa_utils.generate", description="Make one shard of the images of 20_generate.")
    parser.add_argument("--shard", type=int, required=True, help="which one, from 0")
    parser.add_argument("--num-shards", type=int, required=True, help="of how many")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="parameters of 20_generate")
    parser.add_argument("--params", metavar="FILE.yaml", help="the same as 'name: value' lines; --set wins over them")
    options = parser.parse_args(arguments)
    try:
        known = parameters.of_settings(Settings(), Service())
        values = parameters.checked(known, parameters.overrides(options.set, options.params), "a shard")
        names = any_model.OPTIONS | {"prompts", "model", "out"}
        settings = {name: value for name, value in presets.expand(values).items() if name in names}
        done = any_model.generate(**settings, shard=options.shard, num_shards=options.num_shards)
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"shard {options.shard} of {options.num_shards}: {done['made']} images made, {done['kept']} stood already", end="")
    print("; all shards are through" if done["complete"] else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
