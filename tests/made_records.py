"""Run folders with records by the schema of `aa_utils.runner.record`, made up: what tables and figures are tested on."""

import json
from pathlib import Path

from aa_utils import files
from aa_utils.runner import record


def run(root: Path, path: str, notebook: str, parameters: dict, inputs: dict[str, Path], metrics: list[dict], **more) -> Path:
    """The folder `root/path` with a record.json, and a file that stands for what the run wrote; returns the folder."""
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.txt").write_text(json.dumps([path, parameters]), encoding="utf-8")
    described = [record.describe_input(name, str(where)) for name, where in inputs.items()]
    values = parameters | {name: str(where) for name, where in inputs.items()} | {"out": path}
    code = {f"notebooks/{notebook}.ipynb": "0" * 16}
    entry = {
        "schema": record.SCHEMA,
        "run_id": record.run_id(code, values, described),
        "notebook": f"notebooks/{notebook}.ipynb",
        "code": code,
        "parameters": values,
        "inputs": described,
        "git": {"commit": None, "dirty": None},
        "environment": {"python": "3.12.0"},
        "hardware": {"cpu": "made up", "threads": 1, "gpu": []},
        "started": "2000-01-01T00:00:00Z",
        "seconds": 1.0,
        "peak_memory_mb": 1,
        "metrics": metrics,
    }
    files.write_json(folder / "record.json", entry | more)
    return folder


def images(root: Path, writer: str, count: int = 1200) -> Path:
    """Prompts and images of one writer; returns the folder of the images' run."""
    prompts = run(
        root,
        f"prompts/{writer}",
        "10_prompts",
        {"writer": writer, "per_class": 120, "class_names": list("0123456789")},
        {},
        [{"prompts": count}],
    )
    parameters = {"model": "models/pocket-diffusion", "steps": 12, "images_per_prompt": 1}
    return run(root, f"images/{writer}", "20_generate", parameters, {"prompts": prompts}, [{"images": count}])


def inter(root: Path, source: Path, method: str, accuracies: dict[int, float], path: str = "", **parameters) -> Path:
    """An inter-domain run with one metrics row a seed."""
    values = {"method": method, "target": "uci_digits", "steps": 600, "seeds": list(accuracies)} | parameters
    rows = [{"seed": seed, "accuracy": a, "mean_per_class": round(a - 0.01, 6)} for seed, a in accuracies.items()]
    return run(root, path or f"inter_domain/{source.name}/{method}", "30_inter_domain", values, {"source": source}, rows)


def intra(root: Path, before: Path, method: str, accuracies: dict[int, float], **parameters) -> Path:
    """An intra-domain run on top of the inter-domain run in `before`."""
    values = {"method": method, "target": "uci_digits", "steps": 900, "seeds": list(accuracies)} | parameters
    rows = [{"seed": seed, "accuracy": a, "mean_per_class": round(a - 0.01, 6)} for seed, a in accuracies.items()]
    return run(root, f"intra_domain/{before.parent.name}/{before.name}/{method}", "40_intra_domain", values, {"inter_domain": before}, rows)


# prompts, inter-domain method -> accuracies of three seeds before and after FixMatch.
GRID = {
    ("simple", "source_only"): ([0.70, 0.72, 0.71], [0.80, 0.83, 0.79]),
    ("simple", "dann"): ([0.73, 0.735, 0.725], [0.82, 0.86, 0.84]),
    ("offline", "source_only"): ([0.79, 0.80, 0.81], [0.90, 0.92, 0.91]),
    ("offline", "dann"): ([0.81, 0.83, 0.82], [0.93, 0.95, 0.94]),
}


def grid(root: Path) -> list[str]:
    """The whole of GRID as run folders; returns the folders of the scored runs."""
    folders = []
    sources = {writer: images(root, writer) for writer in ("simple", "offline")}
    for (writer, method), (before, after) in GRID.items():
        first = inter(root, sources[writer], method, dict(enumerate(before)))
        folders += [first, intra(root, first, "fixmatch", dict(enumerate(after)))]
    return [str(folder) for folder in folders]
