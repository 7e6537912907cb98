"""Targets that become harder: the corruptions of the scans, and the table of runs on them."""

import shutil

import pytest
import torch

from aa_utils import benchmarks, verify
from aa_utils.benchmarks import corrupted_digits
from aa_utils.errors import InputError
from aa_utils.reporting import hard_shift_runs, hard_shift_tables, tables

RUN = "examples/digits/inter_domain/offline/dann"
KINDS = sorted(corrupted_digits.KINDS)


@pytest.fixture(scope="module")
def clean():
    return benchmarks.load("uci_digits", 32)


@pytest.mark.parametrize("kind", KINDS)
def test_each_severity_moves_the_scans_further_and_each_call_to_the_same_pixels(kind, clean):
    far = []
    for severity in corrupted_digits.SEVERITIES:
        made = benchmarks.load(f"corrupted_digits:{kind}-{severity}", 32)
        assert made.images.pixels.shape == clean.images.pixels.shape and made.images.pixels.dtype == torch.uint8
        assert (made.ids, made.class_names, made.images.labels) == (clean.ids, clean.class_names, None)
        assert torch.equal(made.labels, clean.labels)
        far.append(float((made.images.pixels.float() - clean.images.pixels.float()).abs().mean()))
    assert far == sorted(far) and far[0] > 0 and len(set(far)) == len(far)
    assert torch.equal(made.images.pixels, benchmarks.load(f"corrupted_digits:{kind}-5", 32).images.pixels)


@pytest.mark.parametrize("size", [8, 20, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_any_size_will_do(kind, size):
    assert benchmarks.load(f"corrupted_digits:{kind}-5", size).images.pixels.shape == (1797, 3, size, size)


def test_a_higher_severity_adds_to_the_lower_one(clean):
    few, many = (benchmarks.load(f"corrupted_digits:clutter-{severity}", 32).images.pixels for severity in (1, 5))
    assert (few >= clean.images.pixels).all() and (many >= few).all(), "the same strokes and more"
    turned = [
        (benchmarks.load(f"corrupted_digits:inversion-{k}", 32).images.pixels != clean.images.pixels).flatten(1).any(1) for k in (1, 5)
    ]
    assert 0.15 < turned[0].double().mean() < 0.25 and turned[1].all()


@pytest.mark.parametrize("domain", ["", "noise", "noise-0", "noise-6", "noise-x", "fog-1", "noise-1-2"])
def test_other_domains_are_refused(domain):
    with pytest.raises(InputError, match=f"no 'corrupted_digits:{domain}'; a domain is a kind and a severity from 1 to 5: noise-1, blur-1"):
        benchmarks.load(f"corrupted_digits:{domain}", 32)


def test_the_unadapted_classifier_is_scored_on_every_domain_and_the_table_follows_from_records(tmp_path):
    folder = tmp_path / "results"
    rows = hard_shift_runs.measure(RUN, [], "corrupted_digits", ["noise-5", "blur-1"], folder)
    assert list(rows.columns) == hard_shift_tables.RUNS
    assert rows[["kind", "severity"]].drop_duplicates().values.tolist() == [["", 0], ["blur", 1], ["noise", 5]]
    by_kind = rows.groupby("kind")["accuracy"].mean()
    assert by_kind["noise"] < by_kind["blur"] <= by_kind[""] + 0.05
    assert verify.untraced(folder) == [] and verify.again(folder)["unchanged"].all()
    changed = tables.read_csv(folder / "tables/hard_shift_runs.csv")
    changed.loc[0, "accuracy"] = 0.123456
    tables.write_csv(folder / "tables/hard_shift_runs.csv", changed)
    assert len(hard_shift_runs.untraced(folder)) == 1
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="no run was adapted to a domain of 'corrupted_digits', and domains is empty"):
        hard_shift_runs.measure(RUN, [], "corrupted_digits", [], folder)


def test_sentences_say_what_the_rows_hold():
    rows = []
    for method, values in ((("source_only", "none"), (0.8, 0.5)), (("dann", "fixmatch"), (0.9, 0.45))):
        for severity, accuracy in zip((1, 5), values, strict=True):
            about = dict.fromkeys(hard_shift_tables.RUNS, "x") | dict(zip(hard_shift_tables.METHOD, method, strict=True))
            rows.append(about | {"kind": "noise", "severity": severity, "seed": 0, "accuracy": accuracy})
    said = hard_shift_tables.sentences(tables.pd.DataFrame(rows))
    assert said == ["noise: DANN + FixMatch gains +10.0 points over source only at severity 1 and -5.0 at 5, where it reaches 45.0."]
