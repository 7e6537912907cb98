"""Records: numbers in, identity out."""

import json

import numpy as np
import pytest

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate import jobs
from aa_utils.progress import note, progress
from aa_utils.runner import finished_run, record

RUN = {"schema": 2, "run_id": "abc", "metrics": [{"seed": 0, "accuracy": 0.5}], "parameters": {"steps": 12}}


CHANGES = {"accuracy": ("0.5", "0.7"), "seed": ('"seed": 0', '"seed": 4'), "run": ("abc", "abd"), "parameter": ("12", "13")}
IN_METRICS = ("accuracy", "seed")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, change) for name in ("record.json", ".record.json") for change in CHANGES),
        *(("metrics.json", change) for change in IN_METRICS),
    ],
)
def test_a_flipped_digit_of_a_record_or_its_metrics_is_named(tmp_path, capsys, name, change):
    finished_run.write(tmp_path, RUN)
    record.write_metrics(tmp_path, RUN["metrics"])
    assert record.read(tmp_path) == RUN and record.read_metrics(tmp_path) == RUN["metrics"] and finished_run.read(tmp_path) == RUN
    path = tmp_path / name
    path.write_text(path.read_text().replace(*CHANGES[change], 1))
    if name == "metrics.json":
        with pytest.raises(InputError, match=r"metrics\.json' is not what the run's record says"):
            record.read_metrics(tmp_path)
        return
    with pytest.raises(InputError, match=r"record\.json' is not what its copy '\.record\.json' says: .* delete the wrong one, or both"):
        record.read(tmp_path)
    assert finished_run.read(tmp_path) is None
    assert "counts as not finished" in capsys.readouterr().err
    path.unlink()
    assert record.read(tmp_path) == RUN


LINES = "".join(json.dumps({"id": f"p{k}", "label": k, "class_name": f"c{k}", "text": f"a c{k} in ink"}) + "\n" for k in range(4))
CHANGED = {
    "cut at a line end": LINES.rsplit("\n", 2)[0] + "\n",
    "a line twice": LINES + LINES.splitlines(keepends=True)[0].replace("p0", "p9"),
    "another word": LINES.replace("c2 in ink", "c2 in inc"),
    "another order": "".join(sorted(LINES.splitlines(keepends=True), reverse=True)),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_prompts_that_are_not_what_their_run_wrote_are_named(tmp_path, kind):
    path = tmp_path / "run" / "prompts.jsonl"
    files.write_text(path, LINES)
    finished_run.write(path.parent, RUN | {"outputs": finished_run.outputs(path.parent)})
    assert [row["id"] for row in jobs.read_prompts(path)] == ["p0", "p1", "p2", "p3"]
    path.write_text(CHANGED[kind])
    for use in (
        lambda: jobs.read_prompts(path),
        lambda: jobs.read_prompts(path.parent),
        lambda: record.describe_input("prompts", str(path)),
    ):
        with pytest.raises(
            InputError, match=r"prompts\.jsonl' is not what its run wrote, .* if the change is yours, keep the changed file in"
        ):
            use()
    (tmp_path / "mine").mkdir()
    path.rename(tmp_path / "mine" / "prompts.jsonl")
    assert jobs.read_prompts(tmp_path / "mine")


def test_the_tables_of_a_run_are_its_outputs_and_nothing_else(tmp_path):
    for name in ("prompts.jsonl", "predictions.csv", "metadata.jsonl", ".hidden.csv", "record.json", "report.html"):
        (tmp_path / name).write_text("x")
    assert list(finished_run.outputs(tmp_path)) == ["predictions.csv", "prompts.jsonl"]


@pytest.mark.parametrize("kind", ["", "{", "[]", "{}"])
@pytest.mark.parametrize("name", ["record.json", ".record.json"])
def test_one_whole_copy_of_a_record_is_enough(tmp_path, kind, name):
    finished_run.write(tmp_path, RUN)
    (tmp_path / name).write_text(kind)
    assert finished_run.read(tmp_path) == RUN


def test_metrics_are_plain_numbers(tmp_path):
    record.write_metrics(tmp_path, [{"seed": np.int64(1), "accuracy": np.float32(0.5), "name": "a", "best": None, "ok": True}])
    assert record.read_metrics(tmp_path) == [{"seed": 1, "accuracy": 0.5, "name": "a", "best": None, "ok": True}]
    assert record.read_metrics(tmp_path / "none") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1], {"a": 1}])
def test_metrics_refuse_what_a_table_cannot_hold(tmp_path, value):
    with pytest.raises(InputError, match="metric 'accuracy'"):
        record.write_metrics(tmp_path, [{"accuracy": value}])
    assert not (tmp_path / "metrics.json").exists()


def test_read_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no record at"):
        record.read(tmp_path)
    files.write_json(tmp_path / "record.json", {"schema": 99})
    with pytest.raises(InputError, match="schema 99"):
        record.read(tmp_path)


def test_an_image_folder_is_known_by_its_metadata(tmp_path):
    files.write_jsonl(tmp_path / "metadata.jsonl", [{"file_name": "a.png", "sha256": "0"}])
    files.write_json(tmp_path / "record.json", {"schema": 1, "run_id": "abc"})
    before = record.describe_input("source", str(tmp_path))
    assert before["parent"] == "abc"
    (tmp_path / "executed.ipynb").write_text("anything")
    assert record.describe_input("source", str(tmp_path)) == before
    files.write_jsonl(tmp_path / "metadata.jsonl", [{"file_name": "a.png", "sha256": "1"}])
    assert record.describe_input("source", str(tmp_path))["sha256"] != before["sha256"]


def test_a_run_folder_is_known_by_what_its_notebook_wrote(tmp_path):
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0/model.safetensors").write_bytes(b"weights")
    before = record.describe_input("classifier", str(tmp_path))["sha256"]
    for name in ("executed.ipynb", "progress.log", "metrics.json", "seed0/history.csv", ".lock"):
        (tmp_path / name).write_text("changes with every run")
    assert record.describe_input("classifier", str(tmp_path))["sha256"] == before
    (tmp_path / "seed0/model.safetensors").write_bytes(b"others")
    assert record.describe_input("classifier", str(tmp_path))["sha256"] != before


def test_a_file_names_the_run_that_wrote_it(tmp_path):
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    files.write_json(tmp_path / "record.json", {"schema": 1, "run_id": "abc"})
    row = record.describe_input("prompts", str(tmp_path / "prompts.jsonl"))
    assert (row["parent"], row["sha256"]) == ("abc", files.sha256(tmp_path / "prompts.jsonl"))


def test_run_id_says_what_is_computed_not_where():
    inputs = [{"name": "source", "path": "a", "sha256": "1", "parent": None}]
    first = record.run_id("code", {"lr": 0.1, "out": "x", "source": "a"}, inputs)
    assert len(first) == 12
    assert first == record.run_id("code", {"lr": 0.1, "out": "y", "source": "b"}, [inputs[0] | {"path": "b"}])
    assert first != record.run_id("code", {"lr": 0.2, "out": "x", "source": "a"}, inputs)
    assert first != record.run_id("code", {"lr": 0.1, "out": "x", "source": "a"}, [inputs[0] | {"sha256": "2"}])
    assert first != record.run_id("other", {"lr": 0.1, "out": "x", "source": "a"}, inputs)


def test_environment_hardware_and_git_are_json():
    found = {"environment": record.environment(), "hardware": record.hardware(), "git": record.git_state()}
    assert json.loads(json.dumps(found)) == found
    assert found["environment"]["torch"]
    assert found["hardware"]["cores"] >= 1


def test_progress_writes_lines_and_yields_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("AA_PROGRESS", str(tmp_path / "log"))
    monkeypatch.setattr("aa_utils.progress.SECONDS_BETWEEN_LINES", 0.0)
    assert list(progress(iter(range(2)), what="train", total=2, unit="epoch")) == [0, 1]
    note("loss 0.5")
    lines = (tmp_path / "log").read_text().splitlines()
    assert "train: 1/2 epochs" in lines[0]
    assert "to go" in lines[0]
    assert lines[-2].endswith(", done")
    assert lines[-1].endswith("loss 0.5")


def test_progress_survives_a_lost_log(tmp_path, monkeypatch):
    monkeypatch.setenv("AA_PROGRESS", str(tmp_path / "none/log"))
    assert list(progress([1, 2], what="train")) == [1, 2]
    monkeypatch.delenv("AA_PROGRESS")
    assert list(progress([1, 2], what="train")) == [1, 2]
    note("nobody reads this")


def test_a_run_is_known_by_the_runs_it_was_made_from_and_not_by_their_timings():
    made = {"name": "initial", "path": "a", "sha256": "1", "parent": "run 1"}
    first = record.run_id("code", {"steps": 1}, [made])
    assert record.run_id("code", {"steps": 1}, [made | {"sha256": "2"}]) == first  # the same run on a slower day
    assert record.run_id("code", {"steps": 1}, [made | {"parent": "run 2"}]) != first
    by_hand = made | {"parent": None}
    assert record.run_id("code", {"steps": 1}, [by_hand]) != record.run_id("code", {"steps": 1}, [by_hand | {"sha256": "2"}])
