"""Which tensors in a file of `torch.save` are a StyleGAN2 generator, and in whose names: people publish them in many wrappings.

A training state of rosinality/stylegan2-pytorch has `g_ema` and `g`; pSp and e4e have `state_dict` with `decoder.…` among an encoder's
tensors; others save a bare `state_dict`, one under `module.…` from DataParallel, `G_ema` of NVIDIA's network, or any of these below a name
of their own (`model`, `params_ema`, `netG`).
"""

import re

from torch import Tensor

from aa_utils.errors import InputError
from aa_utils.generator_adaptation.generators import layouts
from aa_utils.generator_adaptation.generators.stylegan2 import Generator

EMA = ("g_ema", "G_ema", "generator_ema")  # in this order, and before all others
# Other names for weights that were averaged over the steps; Gs is that of the first StyleGANs.
AVERAGED = re.compile(r"ema|avg|averag|running|shadow|polyak|swa|moving|(?:^|\.)Gs(?:$|\.)", re.IGNORECASE)
HOLDERS = (*EMA, "g", "G", "generator", "state_dict")
ROSINALITY, NVIDIA, EG3D, STYLEGAN3 = "input.input", "synthesis.b4.const", "backbone.synthesis.b4.const", "synthesis.input.freqs"


def generator(found: object, source: str) -> Generator:
    """The generator in what torch read from `source`. Errors: InputError if there is none, or one that cannot be read."""
    if not isinstance(found, dict):
        raise InputError(f"'{source}' holds no generator: a checkpoint of rosinality/stylegan2-pytorch has one as 'g_ema'")
    names = [*(name for name in EMA if name in found), *_averaged_in(found, source), *HOLDERS[len(EMA) :]]
    held = [(found[name], found) for name in names if isinstance(found.get(name), dict)] + [(found, found)]
    for weights, around in held + _deeper(found, source):
        named = {name: value for name, value in weights.items() if isinstance(name, str)}
        _refuse_others(named, source)
        for marker in (ROSINALITY, NVIDIA):
            prefix = _prefix(named, marker, source)
            if prefix is not None:
                _refuse_unread_averages(named, prefix, source)
                inner = {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
                return _read(inner, around, marker, source)
    if held[0][0] is found:
        keys = ", ".join(sorted(str(name)[:40] for name in found)[:5])
        raise InputError(f"'{source}' holds no generator: a checkpoint of rosinality/stylegan2-pytorch has one as 'g_ema'; it has {keys}")
    return _read(held[0][0], found, ROSINALITY, source)  # which says what does not belong there


def _deeper(found: dict, source: str) -> list[tuple[dict, dict]]:
    """[(tensors, what they stand in)] of the one generator below other names than HOLDERS, or a level deeper; [] if there is none."""
    inside = [
        (name, value, around)
        for around in (found, *(value for value in found.values() if isinstance(value, dict)))
        for name, value in around.items()
        if isinstance(name, str) and isinstance(value, dict) and _holds_generator(value)
    ]
    known = sorted((HOLDERS.index(name), k) for k, (name, _, _) in enumerate(inside) if name in HOLDERS)
    first = [inside[known[0][1]]] if known else []
    averaged = [one for one in inside if AVERAGED.search(one[0])]
    chosen = first if first and first[0][0] in EMA else averaged or first or inside
    if len(chosen) > 1:
        raise InputError(
            f"'{source}' holds {len(chosen)} generators ({', '.join(repr(one[0]) for one in chosen[:4])}); save one of them alone"
        )
    return [(value, around) for _, value, around in chosen]


def _holds_generator(names: dict) -> bool:
    return any(isinstance(name, str) and (name == mark or name.endswith(f".{mark}")) for mark in (ROSINALITY, NVIDIA) for name in names)


def _read(weights: dict, found: dict, marker: str, source: str) -> Generator:
    odd = next((name for name, value in weights.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise InputError(f"'{source}': {str(odd)[:80]!r} among the generator's tensors is a {type(weights[odd]).__name__}")
    if marker == NVIDIA:
        return layouts.from_names(weights, source)
    centre = found.get("latent_avg")
    if not isinstance(centre, Tensor | None):
        raise InputError(f"'{source}': latent_avg is a {type(centre).__name__} and no tensor; save it as one, or leave it out of the file")
    return layouts.from_rosinality(weights, centre, source)


def _prefix(names: dict, marker: str, source: str) -> str | None:
    """What stands before `marker` in the one name that ends in it; None if there is none. Of several, the averaged generator's."""
    found = sorted(name[: -len(marker)] for name in names if name == marker or name.endswith(f".{marker}"))
    averaged = [prefix for prefix in found if AVERAGED.search(prefix)]
    if len(found) > 1 and len(averaged) != 1:
        raise InputError(
            f"'{source}' holds {len(found)} generators ({', '.join(repr(prefix) for prefix in found[:4])}); save one of them alone"
        )
    return (averaged if len(found) > 1 else found)[0] if found else None


def _averaged_in(found: dict, source: str) -> list[str]:
    """The one name in `found`, beside those of EMA, of a generator whose weights were averaged. Errors: InputError for several."""
    if any(isinstance(found.get(name), dict) for name in EMA):
        return []
    names = [
        n for n, held in found.items() if isinstance(n, str) and isinstance(held, dict) and AVERAGED.search(n) and _holds_generator(held)
    ]
    if len(names) > 1:
        raise InputError(f"'{source}' holds {len(names)} averaged generators ({', '.join(map(repr, names[:4]))}); save one of them alone")
    return names


def _refuse_unread_averages(names: dict, prefix: str, source: str) -> None:
    """Errors: InputError where other weights would be read than the averaged ones that a file has too, under names of their own."""
    other = next((name for name in names if not name.startswith(prefix or name) and re.match(r"(?:\w+_)?ema[._]", name)), None)
    if other and not AVERAGED.search(prefix):
        raise InputError(f"'{source}' has averaged weights too, under names that cannot be read ({other[:60]!r}); save those alone")


def _refuse_others(names: dict, source: str) -> None:
    if any(name.endswith(EG3D) for name in names):
        raise InputError(f"'{source}' has the tensors of an EG3D generator without its arguments; give the .pkl of NVlabs/eg3d")
    if any(name.endswith(STYLEGAN3) for name in names):
        raise InputError(f"'{source}' holds a generator of StyleGAN3, which cannot be read; give one of StyleGAN2")
