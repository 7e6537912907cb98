"""Makes `examples/digits` again, what notebooks read when they are opened alone: four runs of notebooks, two minutes on one core.

python examples/make_digits.py
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from aa_utils import files, run
from aa_utils.data import tensor_files
from aa_utils.paths import ROOT, resolve

MADE, SHIPPED = "artifacts/examples/digits", "examples/digits"
PROMPTS, IMAGES = f"{MADE}/prompts/offline", f"{MADE}/images/offline"
DANN, FIXMATCH = f"{MADE}/inter_domain/offline/dann", f"{MADE}/intra_domain/offline/dann/fixmatch"
# The recipe of experiments/pocket.yaml. Of twelve images a class ten teach, and two are held out for 62_ablation_without_labels.
FROM_TEN = {"limit_per_class": 10, "method_config": {"wait": 0.5}, "steps": 600, "batch_size": 32, "device": "cpu"}
RUNS = {
    "10_prompts": {"per_class": 12, "pin": {"template": ["pen", "pen_shape", "scan"]}, "out": PROMPTS},
    "20_generate": {"prompts": f"{PROMPTS}/prompts.jsonl", "model": "models/pocket-diffusion", "steps": 8, "guidance": 5.0, "out": IMAGES},
    "30_inter_domain": {"source": IMAGES, **FROM_TEN, "out": DANN},
    "40_intra_domain": {"initial": DANN, "method_config": {"mu": 2}, "steps": 300, "batch_size": 32, "device": "cpu", "out": FIXMATCH},
}
NOT_SHIPPED = shutil.ignore_patterns(".*", "executed.ipynb", "failed.ipynb", "progress.log", "*.pt")


def main() -> int:
    """Run the notebooks, then replace `examples/digits`; returns the exit code."""
    for notebook, values in RUNS.items():
        code = run.main([f"notebooks/{notebook}.ipynb", "--set", *(f"{name}={json.dumps(value)}" for name, value in values.items())])
        if code:
            return code
    shipped = ROOT / SHIPPED
    shutil.rmtree(shipped, ignore_errors=True)
    shutil.copytree(resolve(MADE), shipped, ignore=NOT_SHIPPED)
    for path in shipped.rglob("record.json"):  # where its inputs lie, now that they are shipped; its run id does not depend on it
        files.write_text(path, path.read_text(encoding="utf-8").replace(f'"{MADE}/', f'"{SHIPPED}/'))
    for path in shipped.rglob("model.safetensors"):  # half the size; what a classifier says hardly changes, and its card says its size
        halve(path.parent)
    return 0


def halve(folder: Path) -> None:
    """Round the weights of the classifier in `folder` to half precision."""
    config, tensors = tensor_files.read_config(folder, ""), tensor_files.read_weights(folder, "")
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    tensor_files.write_weights(folder, half, config)


if __name__ == "__main__":
    sys.exit(main())
