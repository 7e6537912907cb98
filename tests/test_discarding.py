"""Keeping or discarding the synthetic images in stage 4: what the tables of notebook 69 take from records, and what they say."""

import made_records
import pandas as pd
import pytest

from aa_utils import verify
from aa_utils.errors import InputError
from aa_utils.reporting import discarding, provenance, tables

TARGET = 200


def refined(root, noise, kept, accuracies, before=0.6, fraction=0.5, threshold=0.0, method="fixmatch"):
    """A run of stage 4 after a run of stage 3 with that share of wrong labels."""
    name = f"{noise}-{kept}-{fraction}-{threshold}"
    source = made_records.images(root, "offline")
    first = made_records.inter(root, source, "dann", dict.fromkeys(range(3), before), path=f"inter/{noise}/dann", label_noise=noise)
    rows = [
        {"seed": seed, "accuracy": a, "mean_per_class": a, "accuracy_before": before, "pseudo_label_accuracy": 0.8}
        | {"confident": round(fraction * TARGET), "target_images": TARGET}
        for seed, a in enumerate(accuracies)
    ]
    about = {"method": method, "target": "uci_digits", "keep_source": kept, "fraction": fraction, "threshold": threshold}
    return made_records.run(root, f"intra/{name}/{method}", "40_intra_domain", about, {"initial": first}, rows)


def entries(tmp_path):
    folders = [
        refined(tmp_path, 0.0, False, [0.80, 0.81, 0.82]),
        refined(tmp_path, 0.0, True, [0.84, 0.85, 0.86]),
        refined(tmp_path, 0.5, False, [0.60, 0.62, 0.61], before=0.5),
        refined(tmp_path, 0.5, True, [0.40, 0.42, 0.41], before=0.5),
        refined(tmp_path, 0.0, False, [0.90, 0.91, 0.92], fraction=0.25),
    ]
    return provenance.records([str(folder) for folder in folders], "uci_digits")


def test_conditions_come_from_the_records_of_both_stages(tmp_path):
    frame = discarding.of_records(entries(tmp_path))
    assert len(frame) == 15
    half = frame[(frame["label_noise"] == 0.5) & (frame["source_images"] == "kept")]
    assert half["accuracy"].tolist() == [0.40, 0.42, 0.41]
    assert set(half["before"]) == {0.5}
    assert set(frame[frame["selection"] == "surest 25 % of a class"]["coverage"]) == {0.25}
    made = discarding.means(frame).set_index(discarding.CONDITION)
    assert made.loc[(0.0, "surest 50 % of a class", "discarded"), "accuracy_mean"] == pytest.approx(0.81)
    assert made.loc[(0.0, "surest 50 % of a class", "discarded"), "accuracy_sd"] == pytest.approx(0.01)


def test_differences_are_paired_by_seed_with_student_s_interval(tmp_path):
    found = discarding.differences(discarding.of_records(entries(tmp_path))).set_index("label_noise")
    assert found.loc[0.0, "mean"] == pytest.approx(-0.04)
    assert found.loc[0.5, "mean"] == pytest.approx(0.20)
    assert found.loc[0.5, "high"] - found.loc[0.5, "low"] == pytest.approx(0, abs=1e-6), "the same difference in every seed"
    frame = discarding.of_records(entries(tmp_path))
    frame.loc[(frame["label_noise"] == 0.5) & (frame["source_images"] == "kept"), "accuracy"] = [0.40, 0.42, 0.44]
    spread = discarding.differences(frame).set_index("label_noise").loc[0.5]  # differences 0.20, 0.20, 0.17: mean 0.19, sd 0.01732
    assert (spread["low"], spread["high"]) == pytest.approx((0.19 - 4.302653 * 0.01, 0.19 + 4.302653 * 0.01), abs=1e-6)


def test_sentences_and_table_say_where_discarding_pays(tmp_path):
    frame = discarding.of_records(entries(tmp_path))
    said = discarding.sentences(frame)
    assert said[0].startswith("0 % wrong labels: discarding -4.0 points") and said[0].endswith("keeping pays.")
    assert said[1].startswith("50 % wrong labels: discarding +20.0 points") and said[1].endswith("discarding pays.")
    assert said[2].startswith("Most accurate with surest 25 % of a class (91.0 ± 1.0)")
    assert ["50 %", "surest 50 % of a class", "50 %", "80.0", "50.0 ± 0.0", "61.0 ± 1.0", "41.0 ± 1.0"] in discarding.layout(frame).rows


def test_tables_follow_from_records_and_an_edited_number_is_found(tmp_path):
    discarding.write(tmp_path / "results/d", entries(tmp_path))
    assert verify.untraced(tmp_path / "results/d") == []
    assert verify.again(tmp_path / "results/d")["unchanged"].all()
    path = tmp_path / "results/d/tables/discarding_runs.csv"
    frame = tables.read_csv(path)
    frame.loc[0, "accuracy"] += 0.1
    tables.write_csv(path, frame)
    assert len(verify.untraced(tmp_path / "results/d")) == 1


def test_one_condition_is_no_comparison_and_two_methods_are_refused(tmp_path):
    one = provenance.records([str(refined(tmp_path, 0.0, False, [0.8]))], "uci_digits")
    frame = discarding.of_records(one)
    assert discarding.sentences(frame) == ["One condition: nothing to compare."]
    assert isinstance(frame, pd.DataFrame) and discarding.figure(frame).axes
    other = [str(refined(tmp_path, 0.0, False, [0.8], method=method)) for method in ("fixmatch", "mixmatch")]
    with pytest.raises(InputError, match="these runs are of: dann \\+ fixmatch; dann \\+ mixmatch"):
        discarding.of_records(provenance.records(other, "uci_digits"))
