"""The smallest pretrained network of each of timm's families, through all that the kit does with a backbone: a table, one row a family.

    python tests/timm_families.py [families …] > table.md        (some 100 networks, a quarter of an hour on one core)

"features": the network without its head takes its own image size and gives as many features as `networks.width` says.
"weights": a state dict of the network with its own head fills the one without, and nothing else is left over.
"export": with a linear head of 3 classes it is exactly a timm model. A reason stands where one of them does not hold.
"""

import sys
import time
import warnings

import timm
import torch

from aa_utils.classifiers import backbones, networks, weights
from aa_utils.errors import InputError
from aa_utils.photos import export

LARGEST = 450e6  # weights: the smallest DeepSeek vision tower has 412 M


def smallest() -> dict[str, str]:
    """Family (a module of timm.models) -> its smallest network that has weights."""
    sizes: dict[str, dict[str, int]] = {}
    for name in sorted({full.partition(".")[0] for full in timm.list_pretrained()}):
        with torch.device("meta"):
            net = timm.create_model(name, num_classes=0)
        family = timm.model_entrypoint(name).__module__.rpartition(".")[2]
        sizes.setdefault(family, {})[name] = sum(weight.numel() for weight in net.parameters())
    return {family: min(names, key=names.get) for family, names in sizes.items()}


def row(name: str) -> dict:
    """One network: {"network", "image_size", "width", "num_features", "features", "weights", "export", "seconds"}."""
    started = time.perf_counter()
    torch.manual_seed(0)
    classifier = backbones.build(name, 3)
    size = timm.get_pretrained_cfg(name).input_size[-1]
    tried = {"features": "yes", "weights": "yes", "export": "yes"}
    for what, attempt in (
        ("features", lambda: networks.check_images(classifier.backbone, name, size)),
        ("weights", lambda: fill(name)),
        ("export", lambda: export.check(classifier, size)),
    ):
        try:
            attempt()
        except InputError as error:
            tried[what] = str(error)
    about = {"network": name, "image_size": size, "width": classifier.width, "num_features": classifier.backbone.num_features}
    return about | tried | {"seconds": round(time.perf_counter() - started, 1)}


def fill(name: str) -> None:
    """The tensors of the whole network into the one without a head. Errors: InputError if they do not fill it, or do not arrive."""
    whole, net = timm.create_model(name), networks.create(name)
    weights.put(net, weights.Weights(whole.state_dict(), [], [], {"source": name}), name, {})
    for key, value in net.state_dict().items():
        if not torch.equal(value, whole.state_dict()[key]):
            raise InputError(f"'{key}' is another than in the whole network")


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    chosen = {family: name for family, name in smallest().items() if not sys.argv[1:] or family in sys.argv[1:]}
    print("| family | network | px | features | `num_features` | features | weights | export | s |\n|---|---|---|---|---|---|---|---|---|")
    for family, name in sorted(chosen.items()):
        try:
            found = row(name)
        except InputError as error:
            found = {"network": name, "reason": str(error)}
        print("|", " | ".join([family, *map(str, found.values())]), "|", flush=True)


if __name__ == "__main__":
    main()
