"""Ablations from committed tables: what is read, what a stage and a gain are, and that the figures say what their points hold."""

import json

import pandas as pd
import pytest

from aa_utils.errors import InputError
from aa_utils.reporting import ablation_figures, ablation_points, figures, tables

ACCURACY = {  # by (inter-domain, intra-domain), of seed 0; seed 1 has 2 points more
    ("source_only", "none"): 0.70, ("adabn", "none"): 0.75, ("dann", "none"): 0.80, ("dann", "fixmatch"): 0.90, ("dann", "mixmatch"): 0.60,
}  # fmt: skip


def results_folder(folder, worlds=("uci_digits",), network=""):
    rows = []
    (folder / "runs").mkdir(parents=True)
    for world in worlds:
        for (inter, intra), value in ACCURACY.items():
            run = f"{world}-{inter}-{intra}"
            metrics = []
            for seed in (0, 1):
                about = {"benchmark": world, "system": "pipeline", "prompts": "offline", "model": "m", "images": 20, "seed": seed}
                accuracy = value + 0.02 * seed
                rows.append(about | {"inter_domain": inter, "intra_domain": intra, "accuracy": accuracy, "mean_per_class": accuracy})
                rows[-1] |= {"run": run, "run_id": f"id-{run}"} | ({"network": network} if network else {})
                metrics.append({"seed": seed, "seconds_train": 10.0 if intra == "none" else 5.0, "pseudo_label_accuracy": 0.95})
            (folder / "runs" / f"{run}.json").write_text(json.dumps({"schema": 2, "run_id": f"id-{run}", "metrics": metrics}))
    rows.append(rows[0] | {"system": "oracle", "run": "oracle", "inter_domain": "", "intra_domain": ""})
    tables.write_csv(folder / "tables/accuracy_seeds.csv", pd.DataFrame(rows))
    return str(folder)


def test_a_row_is_a_run_and_seed_with_the_cost_of_both_stages(tmp_path):
    rows = ablation_points.of_results([results_folder(tmp_path / "a")])
    assert list(rows.columns) == ablation_points.COLUMNS
    assert len(rows) == 2 * len(ACCURACY), "references are no runs of the pipeline"
    seconds = rows.set_index(["inter_domain", "intra_domain", "seed"])["seconds"]
    assert (seconds["dann", "none", 0], seconds["dann", "fixmatch", 1]) == (10.0, 15.0)


def test_a_gain_is_what_refinement_adds_to_its_own_start(tmp_path):
    folder = results_folder(tmp_path / "a", ("usps:test", "mnist:test"))
    rows = ablation_points.of_results([folder])
    gains = ablation_points.gains(rows, [folder]).groupby(["world", "intra_domain"])["gain"].mean().round(6)
    assert gains.to_dict() == {(w, r): v for w in ("mnist:test", "usps:test") for r, v in (("fixmatch", 0.1), ("mixmatch", -0.2))}


def test_stages_are_the_papers_path(tmp_path):
    rows = ablation_points.of_results([results_folder(tmp_path / "a")])
    staged = ablation_points.stages(rows, "dann", "fixmatch")
    assert staged.groupby("stage")["accuracy"].min().to_dict() == {"source only": 0.7, "AdaBN": 0.75, "adapted": 0.8, "refined": 0.9}
    with pytest.raises(InputError, match="no run of mcd is refined by fixmatch"):
        ablation_points.stages(rows, "mcd", "fixmatch")


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "tables").mkdir()
    with pytest.raises(InputError, match="has no per-seed table of runs of 30 and 40"):
        ablation_points.of_results([str(tmp_path)])
    with pytest.raises(InputError, match="no results folder at"):
        ablation_points.of_results([str(tmp_path / "absent")])


@pytest.mark.parametrize("name", ablation_figures.DRAWN)
def test_a_figure_is_drawn_again_from_its_csv_to_the_same_bytes(tmp_path, name):
    folder = results_folder(tmp_path / "a")
    rows = ablation_points.of_results([folder])
    points = {
        "stages": ablation_points.stages(rows, "dann", "fixmatch"),
        "methods": rows,
        "refinement_gain": ablation_points.gains(rows, [folder]),
    }
    first = figures.draw(name, points[name], tmp_path).read_bytes()
    assert figures.redraw(tmp_path / f"{name}.csv").read_bytes() == first


def test_figures_say_their_numbers(tmp_path):
    folder = results_folder(tmp_path / "a")
    rows = ablation_points.of_results([folder])
    cells = {text.get_text() for text in ablation_figures.methods(rows).axes[0].texts}
    assert {"81.0 ± 1.4\n10 s", "91.0 ± 1.4\n15 s"} <= cells
    gain = ablation_figures.refinement_gain(ablation_points.gains(rows, [folder]))
    assert "4 runs and seeds, 2 of which lost" in gain.get_supxlabel()
