"""Signs that say without a label whether to keep a refinement: how runs are paired, and how a rule is judged where it was not found."""

import json

import pandas as pd
import pytest

from aa_utils.errors import InputError
from aa_utils.reporting import estimate_runs, stop_signs, tables


def points(gains: dict[str, list[float]], sign: dict[str, list[float]], name: str = "agreement_change") -> pd.DataFrame:
    """Rows of POINTS: the gains of the refined runs of each world, and one sign of them; the others say nothing."""
    made = []
    for world, values in gains.items():
        for i, (gain, shown) in enumerate(zip(values, sign[world], strict=True)):
            about = {"results": "r", "world": world, "prompts": "offline", "inter_domain": "dann", "intra_domain": "fixmatch", "n": 3}
            signs = dict.fromkeys(stop_signs.SIGNS, 0.0) | {name: shown}
            made.append(about | {"before": 0.7, "gain": gain, "run": f"{world}-{i}", "run_id": f"{i}"} | signs)
    return pd.DataFrame(made, columns=stop_signs.POINTS)


GAINS = {"a": [0.10, -0.20], "b": [0.05, -0.10], "c": [0.02, 0.04]}


def test_a_sign_that_tells_is_followed_where_it_was_not_found():
    found = stop_signs.judged(points(GAINS, {"a": [0.3, -0.3], "b": [0.2, -0.2], "c": [0.1, 0.2]}))
    for sign in ("agreement_change", stop_signs.FIXED):
        own = found[found["sign"] == sign].set_index("left_out")
        assert list(own["followed"]) == pytest.approx([0.05, 0.025, 0.03]) and own["wrong"].sum() == 0
        assert list(own["followed"]) == list(own["best"]) and own.loc["a", "always"] == pytest.approx(-0.05)


def test_a_sign_that_misleads_elsewhere_costs_what_it_costs():
    found = stop_signs.judged(points(GAINS, {"a": [0.3, -0.3], "b": [0.2, -0.2], "c": [-0.1, -0.2]})).set_index(["sign", "left_out"])
    misled = found.loc[("agreement_change", "c")]
    assert misled["followed"] == 0.0 and misled["always"] == pytest.approx(0.03) and misled["wrong"] == 2


def test_a_threshold_may_lie_on_either_side():
    found = stop_signs.judged(points(GAINS, {"a": [0.1, 0.9], "b": [0.2, 0.8], "c": [0.1, 0.3]}, "confidence_before"))
    own = found[found["sign"] == "confidence_before"]
    assert own["wrong"].sum() == 0 and float(own["spearman"].iloc[0]) < 0


def estimates(folder, rows):
    """A results folder with estimates of runs, and the records that say which run goes on from which."""
    about = {"benchmark": "uci_digits[zero,one]", "prompts": "offline", "inter_domain": "dann", "images": 10}
    made = []
    for run, second, seed, accuracy, agreement in rows:
        signs = {"entropy": -1.0, "information": 0.5, "neighbourhood": 1.0, "rankme": 2.0, "confidence": 0.8, "difference": 0.8, "atc": 0.8}
        made.append(
            about | {"intra_domain": second, "run": run, "run_id": run, "seed": seed, "accuracy": accuracy, "agreement": agreement} | signs
        )
        made[-1] |= {"low": 0.5, "high": 0.9, "held_out": 5}
    (folder / "runs").mkdir(parents=True)
    tables.write_csv(folder / "tables" / "estimates_seeds.csv", pd.DataFrame(made, columns=estimate_runs.PER_SEED))
    for run in {row[0] for row in rows}:
        notebook = "40_intra_domain" if "refined" in run else "30_inter_domain"
        parent = [{"name": "initial", "path": "x", "sha256": "0", "parent": run.replace("refined", "start")}] if "refined" in run else []
        entry = {"notebook": f"notebooks/{notebook}.ipynb", "run_id": run, "inputs": parent, "parameters": {}, "metrics": []}
        (folder / "runs" / f"{run}.json").write_text(json.dumps(entry))
    return str(folder)


START = [("start", "none", 0, 0.6, 0.7), ("start", "none", 1, 0.7, 0.7)]  # run, refinement, seed, accuracy, agreement
PAIR = [*START, ("refined", "fixmatch", 0, 0.8, 0.9), ("refined", "fixmatch", 1, 0.9, 0.9)]


def test_runs_are_paired_with_those_they_go_on_from(tmp_path):
    made = stop_signs.of_results([estimates(tmp_path / "r", [*PAIR, ("lone", "none", 0, 0.9, 0.9)])])
    assert len(made) == 1
    row = made.iloc[0]
    assert (row["world"], row["n"]) == ("uci_digits", 2) and row["before"] == pytest.approx(0.65) and row["gain"] == pytest.approx(0.2)
    assert row["agreement_before"] == pytest.approx(0.7) and row["agreement_change"] == pytest.approx(0.2)
    assert row["balance_before"] == pytest.approx(1.5)  # information 0.5 and mean entropy 1


def test_tables_and_figure_come_again_from_the_csv(tmp_path):
    first, second = estimates(tmp_path / "r", PAIR), estimates(tmp_path / "s", PAIR)
    stop_signs.write(tmp_path / "made", [first, second])
    before = {path.name: path.read_bytes() for path in (tmp_path / "made").rglob("*.*")}
    (tmp_path / "made/tables/stop_signs.md").write_text("older")
    stop_signs.again(tmp_path / "made")
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "made").rglob("*.*")}
    assert "stop_signs.png" in before and b"agreement does not fall" in before["stop_signs.md"]


def test_estimates_of_no_refined_run_are_refused(tmp_path):
    with pytest.raises(InputError, match="no refined run of two or more seeds"):
        stop_signs.of_results([estimates(tmp_path / "r", START)])
    with pytest.raises(InputError, match="62_ablation_without_labels"):
        stop_signs.of_results([str(tmp_path)])
