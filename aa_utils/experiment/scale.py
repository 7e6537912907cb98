"""The same experiment at another scale: what its file says under `scales.<name>` is laid over the rest.

`smoke`, say, runs the whole graph of a benchmark within minutes on small models: a rehearsal before GPUs are booked, on the same data.
    snakemake --configfile experiments/office31.yaml --config scale=smoke
"""

import copy

from aa_utils.errors import InputError


def scaled(config: dict, name: str, source: str = "the experiment") -> dict:
    """`config` without `scales`; with a `name`, what `scales.<name>` says is merged into it, and it is called `<its name>_<name>`.

    Mappings are merged key by key, null takes a key away, anything else replaces what was there (a JSON merge patch, RFC 7386).
    Errors: InputError for a scale that the file does not have.
    """
    rest = {key: value for key, value in config.items() if key != "scales"}
    scales = config.get("scales") or {}
    if not isinstance(scales, dict) or not all(isinstance(patch, dict) for patch in scales.values()):
        raise InputError(f"{source}: scales is {scales!r}; it takes names, and below each the keys that differ")
    if not name:
        return copy.deepcopy(rest)
    if name not in scales:
        raise InputError(f"{source}: no scale '{name}'; there are: {', '.join(scales) or 'none'}")
    return merged(rest, {"name": f"{config.get('name')}_{name}"} | scales[name])  # type: ignore[return-value]


def merged(base: object, patch: object) -> object:
    """`base` with the merge patch `patch` applied; neither is changed."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = copy.deepcopy(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made
