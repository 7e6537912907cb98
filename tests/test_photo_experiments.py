"""Experiments on photos with images that exist already: the whole graph on a small dataset made here, and, on request, on the real one."""

import csv
import os
from pathlib import Path

import made_datasets
import one_process
import pytest
import yaml

from aa_utils import verify
from aa_utils.benchmarks import cifar10
from aa_utils.experiment.scale import scaled
from aa_utils.paths import ROOT

EXPERIMENTS = ("cifar10", "office31_flux", "office31_lite0")


def written(folder: Path, config: dict) -> Path:
    (folder / "experiment.yaml").write_text(yaml.safe_dump(config))
    return folder / "experiment.yaml"


def smoke(name: str) -> dict:
    return scaled(yaml.safe_load((ROOT / f"experiments/{name}.yaml").read_text(encoding="utf-8")), "smoke")


def rows(path: Path) -> list[dict]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_from_a_folder_of_images_to_the_table(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for part, root in (("sd14", "cifake/sd14"), ("train", "cifar10/train"), ("test", "cifar10/test")):
        for label, name in enumerate(cifar10.CLASS_NAMES):
            (data / root / name).mkdir(parents=True)
            for number in range(5):
                made_datasets.picture(label, part, number, (32, 32)).save(data / root / name / f"{number:04d}.jpg")
    config = smoke("cifar10")
    config["tasks"] = {"nine": {"sources": ["sd14_nine"], "target": "cifar10:nine-train-partial", "test": "cifar10:nine-test-partial"}}
    config["inter_domain"]["methods"] = {"source_only": None}
    config["intra_domain"] = {}
    del config["sources"]["sd14"]
    config["benchmark"]["confusion"] = "inter_domain/nine/sd14_nine/source_only"
    for name, value in {"AA_DATA": data, "AA_ARTIFACTS": tmp_path / "artifacts", "MPLBACKEND": "agg"}.items():
        monkeypatch.setenv(name, str(value))
    one_process.make(tmp_path, written(tmp_path, config))
    results = tmp_path / "artifacts/cifar10_smoke/results"
    ours = [row for row in rows(results / "tables/cifar10.csv") if row["origin"] == "this kit"]
    found = {(row["labelled"], row["protocol"], row["network"]) for row in ours}
    sd = "synthetic: Stable Diffusion 1.4, 4 a class"
    assert found == {
        (sd, "inductive", "wrn_16_2 (from scratch)"),
        (sd, "transductive", "wrn_16_2 (from scratch)"),
        ("the target's own labels", "inductive", "wrn_16_2 (from scratch)"),
    }
    assert "Scored: JPEG copies, 45 of the 10,000 test images." in (results / "tables/cifar10.md").read_text()
    for name in ("by_source", "confusion"):
        assert (results / f"figures/{name}.png").stat().st_size > 10_000
    assert verify.untraced(results) == []
    (source,) = (tmp_path / "artifacts/cifar10_smoke/images").glob("*/metrics.json")
    assert '"used": 4' in source.read_text()
    (data / "cifar10/test/cat/0001.jpg").write_bytes(b"")
    (data / "cifake/sd14/dog/0001.jpg").unlink()
    (data / "cifake/sd14/ship").rename(data / "cifake/sd14/boat")
    done = one_process.snakemake(tmp_path, written(tmp_path, config), AA_ARTIFACTS=str(tmp_path / "again/artifacts"))
    assert done.returncode != 0
    assert "cat/0001.jpg (empty file)" in done.stdout
    assert "no images of 'ship'; left over are 'boat', 'frog'" in done.stdout
    assert [path.name for path in (tmp_path / "again/artifacts/cifar10_smoke").iterdir()] == ["data"], "before anything is made"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_whole_experiment_on_the_real_data(name, tmp_path):
    data = Path(os.environ.get("AA_DATA", ""))
    if os.environ.get("AA_TEST_PAPER") != "1" or not all((data / each).is_dir() for each in ("cifake", "flux2", "office31")):
        pytest.skip("AA_TEST_PAPER=1 runs it, with AA_DATA that has cifake, flux2, office31 and CIFAR-10")
    about = {"AA_ARTIFACTS": str(tmp_path / "artifacts"), "MPLBACKEND": "agg"}
    done = one_process.snakemake(tmp_path, written(tmp_path, smoke(name)), **about)
    assert done.returncode == 0, done.stdout
    results = tmp_path / f"artifacts/{name}_smoke/results"
    assert verify.untraced(results) == []
    assert (results / "figures/by_source.png").is_file()
