"""Tables on made-up records: every number, rounding and sentence is known beforehand."""

import math

import made_records
import pandas as pd
import pytest

from aa_utils import files, verify
from aa_utils.errors import InputError
from aa_utils.reporting import claims, code_notes, layout, provenance, results, tables

ACCURACY = """\
**UCI digits: accuracy on the target**

| prompts | inter-domain | before refinement | after FixMatch |
| --- | --- | ---: | ---: |
| simple | source only | 71.0 ± 1.0 | 80.7 ± 2.1 |
| simple | DANN | 73.0 ± 0.5 | 84.0 ± 2.0 |
| offline | source only | 80.0 ± 1.0 | 91.0 ± 1.0 |
| offline | DANN | 82.0 ± 1.0 | 94.0 ± 1.0 |
| CLIP by class names (pocket-clip) |  | 61.2 | – |
| supervised on target labels |  | 98.1 ± 0.1 | – |

Overall accuracy in per cent, mean ± standard deviation over n = 3 seeds. Last epoch; target labels score, they choose nothing.  
The row 'supervised on target labels' uses the target's labels: for reference only, not a method.
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, records) of the whole grid with both references."""
    root = tmp_path_factory.mktemp("runs")
    entries = provenance.records(made_records.grid(root), "uci_digits")
    about = {"target": "uci_digits", "model": "models/pocket-clip"}
    entries["zero_shot"] = provenance.measurement("zero_shot", "51", about, {}, [{"accuracy": 0.612, "mean_per_class": 0.61}])
    rows = [{"seed": seed, "accuracy": 0.98 + 0.001 * seed, "mean_per_class": 0.98} for seed in range(3)]
    entries["oracle"] = provenance.measurement("oracle", "51", {"target": "uci_digits"}, {}, rows)
    for name in ("zero_shot", "oracle"):  # whatever is being edited while the tests run
        entries[name] |= {"git": {"commit": None, "dirty": None}}
    return root, entries


def cell(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_records_bring_what_they_were_made_from(made):
    _, entries = made
    kinds = {name: provenance.stage(entry) for name, entry in entries.items()}
    assert kinds["inter_domain-offline-dann"] == "inter_domain"
    assert kinds["intra_domain-simple-source_only-fixmatch"] == "intra_domain"
    assert {"prompts-simple", "prompts-offline", "generate-images-simple", "generate-images-offline"} <= set(kinds)
    assert len(entries) == 4 + 4 + 2 + 2 + 2


def test_a_folder_of_runs_is_as_good_as_its_runs(made):
    root, entries = made
    found = provenance.records([str(root / "inter_domain"), str(root / "intra_domain")], "uci_digits")
    assert set(found) == set(entries) - {"zero_shot", "oracle"}


def test_per_seed_names_the_factors_and_the_run(made):
    _, entries = made
    frame = tables.per_seed(entries)
    assert list(frame.columns) == tables.PER_SEED
    row = cell(frame, prompts="offline", inter_domain="dann", intra_domain="fixmatch", seed=1)
    assert (row["accuracy"], row["mean_per_class"], row["images"]) == (0.95, 0.94, 1200)
    assert (row["benchmark"], row["model"], row["run"]) == ("uci_digits", "pocket-diffusion", "intra_domain-offline-dann-fixmatch")
    assert row["run_id"] == entries["intra_domain-offline-dann-fixmatch"]["run_id"]
    assert len(frame) == 8 * 3 + 1 + 3


def test_what_batchnorm_normalises_by_is_a_row_of_its_own(tmp_path):
    source = made_records.images(tmp_path, "offline")
    runs = []
    for choice, accuracies in (("train", {0: 0.7, 1: 0.8}), ("frozen", {0: 0.9, 1: 0.8}), ("target", {0: 0.6, 1: 0.5})):
        runs.append(made_records.inter(tmp_path, source, "dann", accuracies, f"inter_domain/{choice}", batchnorm=choice))
    runs.append(made_records.intra(tmp_path, runs[0], "fixmatch", {0: 0.95}, batchnorm="frozen"))
    runs.append(made_records.inter(tmp_path, source, "adabn", {0: 0.65}, batchnorm="train"))
    frame = tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits"))
    assert cell(frame, inter_domain="dann@frozen", intra_domain="none", seed=0)["accuracy"] == 0.9
    assert cell(frame, inter_domain="dann", intra_domain="fixmatch@frozen")["accuracy"] == 0.95
    shown = layout.accuracy(tables.over_seeds(frame), frame)
    assert [row[1] for row in shown.rows] == ["AdaBN", "DANN", "DANN (frozen BN)", "DANN (target BN)"]
    assert "after FixMatch (frozen BN)" in shown.header


def test_means_and_standard_deviations_over_seeds(made):
    means = tables.over_seeds(tables.per_seed(made[1]))
    row = cell(means, prompts="simple", inter_domain="source_only", intra_domain="fixmatch", metric="accuracy")
    assert (row["mean"], row["sd"], row["n"], row["seeds"]) == (0.806667, 0.020817, 3, "0 1 2")  # of 0.80, 0.83, 0.79 with n - 1
    alone = cell(means, system="zero_shot", metric="accuracy")
    assert alone["n"] == 1
    assert pd.isna(alone["sd"])


def test_written_files_are_exact_and_the_same_again(made, tmp_path):
    _, entries = made
    results.write(tmp_path, "accuracy", entries)
    folder = tmp_path / "tables"
    assert (folder / "accuracy.md").read_text(encoding="utf-8") == ACCURACY
    lines = (folder / "accuracy.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "benchmark,system,prompts,model,inter_domain,intra_domain,images,metric,mean,sd,n,seeds,run_ids"
    run = entries["inter_domain-offline-dann"]["run_id"]
    assert f"uci_digits,pipeline,offline,pocket-diffusion,dann,none,1200,accuracy,0.820000,0.010000,3,0 1 2,{run}" in lines
    tex = (folder / "accuracy.tex").read_text(encoding="utf-8")
    assert r"offline & DANN & 82.0 $\pm$ 1.0 & 94.0 $\pm$ 1.0 \\" in tex
    assert r"\begin{tabular}{llrr}" in tex
    assert r"\label{tab:accuracy}" in tex
    before = {path: files.sha256(path) for path in sorted(tmp_path.rglob("*.*"))}
    results.write(tmp_path, "accuracy", entries)
    assert {path: files.sha256(path) for path in sorted(tmp_path.rglob("*.*"))} == before
    assert verify.again(tmp_path)["unchanged"].all()
    assert verify.untraced(tmp_path) == []


def test_a_number_changed_by_hand_is_found(made, tmp_path):
    results.write(tmp_path, "accuracy", made[1])
    path = tmp_path / "tables/accuracy_seeds.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("0.930000,0.920000", "0.990000,0.920000"), encoding="utf-8")
    said = verify.untraced(tmp_path)
    assert len(said) == 2, "one row follows from no record, and one record has no row"
    assert "0.99, 0.92" in said[0] and "0.93, 0.92" in said[1]
    assert not verify.again(tmp_path)["unchanged"].all()


def test_csv_comes_back_as_it_was(made, tmp_path):
    frame = tables.over_seeds(tables.per_seed(made[1]))
    tables.write_csv(tmp_path / "a.csv", frame)
    pd.testing.assert_frame_equal(tables.read_csv(tmp_path / "a.csv"), frame, check_dtype=False)
    with pytest.raises(InputError, match="no table at"):
        tables.read_csv(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [(0.93449, 0.0044, "93.4 ± 0.4"), (0.8066666, 0.0208, "80.7 ± 2.1"), (1.0, 0.0, "100.0 ± 0.0"), (0.5, None, "50.0"), (None, None, "–")],
)
def test_per_cent_is_printed_with_one_decimal(mean, sd, shown):
    assert layout.percent(float("nan") if mean is None else mean, float("nan") if sd is None else sd) == shown


def test_differences_carry_their_sign():
    assert layout.percent(0.02, 0.005, sign=True) == "+2.0 ± 0.5"
    assert layout.percent(-0.02, 0.005, sign=True) == "-2.0 ± 0.5"


def test_tex_escapes_what_latex_would_read():
    assert layout._tex("a_b & 5 % ± –") == r"a\_b \& 5 \% $\pm$ --"


def test_unknown_methods_need_no_entry(tmp_path):
    source = made_records.images(tmp_path, "llm")
    first = made_records.inter(tmp_path, source, "tomorrows_method", {0: 0.5, 1: 0.6})
    last = made_records.intra(tmp_path, first, "mixmatch", {0: 0.7, 1: 0.8})
    frame = tables.per_seed(provenance.records([str(first), str(last)], "uci_digits"))
    text = layout.markdown(layout.accuracy(tables.over_seeds(frame), frame))
    assert "| llm | tomorrows_method | 55.0 ± 7.1 | 75.0 ± 7.1 |" in text
    assert "after MixMatch" in text


def test_missing_seeds_and_unequal_numbers_of_images_are_named(tmp_path):
    runs = [
        made_records.inter(tmp_path, made_records.images(tmp_path, "simple", 1000), "dann", {0: 0.5, 2: 0.5}),
        made_records.inter(tmp_path, made_records.images(tmp_path, "offline", 1200), "dann", {0: 0.6, 1: 0.6, 2: 0.6}),
    ]
    frame = tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits"))
    assert tables.notes(frame) == [
        "Missing: simple + dann + none has no seed 1.",
        "The numbers of synthetic images differ: offline 1200, simple 1000.",
    ]
    assert "over n = 2 to 3 seeds" in layout.markdown(layout.accuracy(tables.over_seeds(frame), frame))


def test_mixed_experiments_are_refused(tmp_path):
    simple, offline = made_records.images(tmp_path, "simple"), made_records.images(tmp_path, "offline")
    one = str(made_records.inter(tmp_path, simple, "dann", {0: 0.5}))
    other = str(made_records.inter(tmp_path, offline, "dann", {0: 0.5}, steps=20))
    with pytest.raises(InputError, match=r"differ in steps: (20 and 600|600 and 20)"):
        tables.per_seed(provenance.records([one, other], "uci_digits"))
    elsewhere = str(made_records.inter(tmp_path, offline, "source_only", {0: 0.5}, target="usps"))
    with pytest.raises(InputError, match="several benchmarks in one table: uci_digits, usps"):
        tables.per_seed(provenance.records([one, elsewhere], "uci_digits"))


def test_the_same_cell_twice_is_refused(tmp_path):
    source = made_records.images(tmp_path, "simple")
    runs = [made_records.inter(tmp_path, source, "dann", {0: 0.5}, path=f"inter_domain/simple/{d}", device=d) for d in ("cpu", "cuda")]
    with pytest.raises(InputError, match=r"simple \+ dann \+ none, seed 0 has two runs"):
        tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits"))


def test_a_run_whose_images_were_made_again_is_refused(tmp_path):
    source = made_records.images(tmp_path, "simple")
    run = made_records.inter(tmp_path, source, "dann", {0: 0.5})
    made_records.images(tmp_path, "simple", count=600)
    record = tmp_path / "images/simple/record.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"run_id": "', '"run_id": "new'), encoding="utf-8")
    with pytest.raises(InputError, match="which is gone or newer; run 'inter_domain-simple-dann' again"):
        provenance.records([str(run)], "uci_digits")


def written(tmp_path, **changes):
    """The caption of a table of two runs, of which DANN's record has `changes`."""
    source = made_records.images(tmp_path, "simple")
    runs = [made_records.inter(tmp_path, source, method, {0: 0.5}) for method in ("dann", "source_only")]
    entries = provenance.records([str(run) for run in runs], "uci_digits")
    entries["inter_domain-simple-dann"] |= changes
    results.write(tmp_path / "results", "accuracy", entries)
    return (tmp_path / "results/tables/accuracy.md").read_text(encoding="utf-8").rpartition("|")[2]


CLEAN = {"commit": "1" * 40, "dirty": False}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"git": CLEAN | {"dirty": True}}, "Dirty: made from uncommitted changes, which no commit holds: inter_domain-simple-dann."),
        ({"edited": ["a.py", "b.py"]}, "Edited while run inter_domain-simple-dann was on its way: a.py, b.py."),
        (
            {"code": {"notebooks/30_inter_domain.ipynb": "f" * 16}, "git": CLEAN},
            "Mixed code: these runs differ in notebooks/30_inter_domain.ipynb (1111111: 1 record).",
        ),
    ],
)
def test_the_caption_names_code_that_cannot_be_trusted(tmp_path, changes, said):
    assert said in written(tmp_path, **changes)


def test_the_caption_says_nothing_of_other_commits_with_the_same_code(tmp_path):
    assert written(tmp_path / "one") == written(tmp_path / "two", git=CLEAN)


def test_records_that_do_not_say_their_code_are_named_where_commits_differ(tmp_path):
    old = {"commit": "2" * 40, "dirty": False}
    entries = {"a": {"git": CLEAN, "code": {"x.py": "1"}}, "b": {"git": old, "code_sha256": "f"}, "c": {"git": old}}
    said = "Of several commits (2222222: 2 records, 1111111: 1), and not every record says what its code was."
    assert code_notes.notes(entries) == [said]
    assert code_notes.notes({"b": entries["b"], "c": entries["c"]}) == []


def test_a_caption_is_about_the_records_of_its_own_table(tmp_path):
    written(tmp_path)
    copies = provenance.read_copies(tmp_path / "results")
    provenance.write_copies(tmp_path / "results", {"stray": copies["inter_domain-simple-dann"] | {"run_id": "stray"}})
    assert code_notes.behind(tmp_path / "results", "accuracy").keys() == copies.keys()
    assert code_notes.behind(tmp_path / "results", "a table without a CSV").keys() == copies.keys() | {"stray"}


def test_runs_made_by_hand_are_marked(tmp_path):
    folder = tmp_path / "inter_domain/offline/dann"
    files.write_json(folder / "seed0/config.json", {"method": "inter_domain.dann"})
    files.write_json(folder / "metrics.json", [{"seed": 0, "accuracy": 0.5, "mean_per_class": 0.4}])
    frame = tables.per_seed(provenance.records([str(folder)], "uci_digits"))
    assert list(frame.loc[0, ["benchmark", "prompts", "inter_domain", "run_id"]]) == ["uci_digits", "unrecorded", "dann", "unrecorded"]
    assert tables.notes(frame)[-1].startswith("Unrecorded: some of these runs were made by hand")
    with pytest.raises(InputError, match="no run at"):
        provenance.records([str(tmp_path / "nothing")], "uci_digits")


def test_the_curve_counts_images(tmp_path):
    source = made_records.images(tmp_path, "offline")
    runs = [
        made_records.inter(tmp_path, source, "source_only", {0: a, 1: a + 0.02}, path=f"curve/{limit}", limit_per_class=limit)
        for limit, a in ((10, 0.5), (20, 0.6), (40, 0.7), (80, 0.75), (0, 0.8))
    ]
    results.write(tmp_path / "results", "number_of_images", provenance.records([str(run) for run in runs], "uci_digits"))
    text = (tmp_path / "results/tables/number_of_images.md").read_text(encoding="utf-8")
    assert "| images | accuracy | mean per class |" in text
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()] == [
        "100", "200", "400", "800", "1200",
    ]  # fmt: skip
    assert "| 100 | 51.0 ± 1.4 | 50.0 ± 1.4 |" in text
    assert verify.untraced(tmp_path / "results") == []
    with pytest.raises(InputError, match="differ in limit_per_class"):
        tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits"))


def test_claims_compare_the_same_seeds(made):
    compared = claims.compared(tables.per_seed(made[1]))
    first = cell(compared, better="offline + DANN", worse="simple + DANN")
    assert first["differences"] == "+0.080000 +0.095000 +0.095000"
    assert (first["mean"], first["sd"], first["n"]) == (0.09, 0.00866, 3)
    # t(0.975, 2) = 4.302653
    assert first["low"] == pytest.approx(0.09 - 4.302653 * 0.0086602540 / 3**0.5, abs=1e-6)
    assert first["verdict"] == "holds"
    close = cell(compared, better="offline + DANN", worse="offline + source only")
    assert (close["mean"], close["verdict"]) == (0.02, "undecided")
    both = compared[compared["better"] == "offline + DANN + FixMatch"]
    assert list(both["worse"]) == [
        "simple + DANN + FixMatch", "offline + source only + FixMatch", "offline + DANN", "offline + source only",
    ]  # fmt: skip
    text = layout.markdown(claims.layout(compared))
    assert "Adaptation beats source only: holds in 1, undecided in 3 of 4 comparisons." in text


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.02, 0.03, 0.025], "holds"),
        ([-0.02, -0.03, -0.025], "does not hold"),
        ([0.02, -0.02, 0.01], "undecided"),
        ([0.4, -0.3, 0.1], "unstable"),
        ([0.4, 0.7, 0.5], "holds"),
        ([0.03, 0.03], "holds"),
        ([0.1], "no verdict"),
    ],
)
def test_verdicts(tmp_path, differences, verdict):
    source = made_records.images(tmp_path, "simple")
    runs = [
        made_records.inter(tmp_path, source, "source_only", dict.fromkeys(range(len(differences)), 0.5)),
        made_records.inter(tmp_path, source, "dann", {seed: 0.5 + d for seed, d in enumerate(differences)}),
    ]
    compared = claims.compared(tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits")))
    assert list(compared["verdict"]) == [verdict]


def test_p_values_of_a_claim_are_corrected_by_holm():
    p = pd.Series([0.04, 0.01, math.nan, 0.03], index=[3, 1, 7, 2])
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1, and none below the one before: 0.03, 0.06, 0.06.
    assert claims.holm(p).to_dict() == pytest.approx({3: 0.06, 1: 0.03, 7: math.nan, 2: 0.06}, nan_ok=True)
    assert claims.holm(pd.Series([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_a_claim_that_holds_alone_may_not_among_many(tmp_path):
    """p of [0.02, 0.03, 0.025] is 0.013: it holds alone, and not as one of four."""
    alone = claims.verdict(0.025, 0.005, 0.0131, 3)
    assert (alone, claims.verdict(0.025, 0.005, 4 * 0.0131, 3)) == ("holds", "undecided")


def test_claims_use_common_seeds_only(tmp_path):
    source = made_records.images(tmp_path, "simple")
    runs = [
        made_records.inter(tmp_path, source, "source_only", {0: 0.5, 1: 0.5}),
        made_records.inter(tmp_path, source, "dann", {1: 0.6, 2: 0.9}),
    ]
    compared = claims.compared(tables.per_seed(provenance.records([str(run) for run in runs], "uci_digits")))
    assert list(compared.loc[0, ["seeds", "mean", "n", "verdict"]]) == ["1", 0.1, 1, "no verdict"]
