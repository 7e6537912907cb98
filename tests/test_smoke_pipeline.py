"""The whole graph in small: prompts to tables through Snakemake, papermill and every stage, killed once on the way."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aa_utils import files
from aa_utils.paths import ROOT
from aa_utils.runner import parameters

POCKET = ROOT / "models/pocket-diffusion"
POCKET_CLIP = ROOT / "models/pocket-clip"


@pytest.fixture(scope="module")
def graph(tmp_path_factory, tiny_diffusion, tiny_clip):
    """graph(*arguments) -> the finished Snakemake call on experiments/smoke.yaml, in folders of its own; `graph.start` only starts it."""
    folder = tmp_path_factory.mktemp("a kit")  # with a space
    experiment = parameters.read_yaml((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8"), "smoke.yaml")
    # The parts must fit in two steps as in two thousand.
    experiment["generator"] |= {"steps": 2, "model": str(POCKET if POCKET.exists() else tiny_diffusion)}
    experiment["benchmark"] |= {"clip": str(POCKET_CLIP if POCKET_CLIP.exists() else tiny_clip), "oracle_seeds": []}
    # Every rule has a job, and every job that is looked at below a neighbour that it must leave alone; the rest of the grid is left out.
    experiment["inter_domain"] |= {"steps": 2, "methods": {"source_only": {"sources": ["offline"]}, "dann": {}}}
    experiment["intra_domain"] |= {"steps": 2, "methods": {"fixmatch": {"after": ["dann"]}}}
    experiment["ablations"]["number_of_images"]["limit_per_class"] = [2]
    files.write_json(folder / "smoke.json", experiment)
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2"]
    command += ["--configfile", str(folder / "smoke.json")]
    environment = os.environ | {"AA_ARTIFACTS": str(folder / "artifacts")}

    def start(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def call(*arguments: str) -> str:
        process = start(*arguments)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
        return output

    call.start, call.artifacts, call.command, call.environment = start, folder / "artifacts/smoke", command, environment
    return call


@pytest.fixture(scope="module")
def finished(graph):
    """The graph after a start that was killed the hard way, and a second call."""
    process = graph.start()
    deadline = time.monotonic() + 300
    while not list(graph.artifacts.glob("prompts/*/record.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(graph.artifacts.glob("prompts/*/record.json")), process.stdout.read()
    assert not (graph.artifacts / "benchmark/record.json").exists(), "killed too late to test anything"
    graph()
    return graph


def test_every_run_has_its_record_and_its_parents(finished):
    records = {path.parent: json.loads(path.read_text()) for path in finished.artifacts.rglob("record.json")}
    assert len(records) == 3 + 3 + 3 + 2 + 1 + 1 + 2
    by_id = {record["run_id"]: record for record in records.values()}
    full = records[finished.artifacts / "intra_domain/offline/dann/fixmatch"]
    line = []
    while full is not None:
        line.append(Path(full["notebook"]).stem)
        full = by_id.get(next((row["parent"] for row in full["inputs"] if row["parent"]), None))
    assert line == ["40_intra_domain", "30_inter_domain", "20_generate", "10_prompts"]


def test_the_table_has_every_cell(finished):
    with (finished.artifacts / "results/tables/accuracy_seeds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    cells = {(row["prompts"], row["inter_domain"], row["intra_domain"]) for row in rows if row["system"] == "pipeline"}
    after_dann = {(writer, "dann", intra) for writer in ("simple", "offline") for intra in ("none", "fixmatch")}
    assert cells == after_dann | {("offline", "source_only", "none")}
    assert (finished.artifacts / "results/tables/accuracy.md").exists()
    assert (finished.artifacts / "results/figures/number_of_images.png").exists()
    assert (finished.artifacts / "results/figures/estimates.png").exists()


def test_a_second_call_does_nothing_not_even_where_the_data_were_not_checked(finished):
    checked = finished.artifacts / "data/checked"
    held = checked.read_text()
    checked.unlink()
    assert "Nothing to be done" in finished()
    checked.write_text(held)


def test_what_is_missing_is_made_where_the_experiment_reads_other_data_than_were_checked(finished):
    checked, record = finished.artifacts / "data/checked", finished.artifacts / "benchmark/record.json"
    named, held = checked.read_text(), json.loads(record.read_bytes())
    assert "uci_digits" in named
    checked.write_text(json.dumps(["mnist:test"]))
    record.unlink()
    assert "checking the data: uci_digits" in finished()
    assert checked.read_text() == named
    assert json.loads(record.read_bytes())["metrics"] == held["metrics"]


def test_data_that_are_not_there_stop_the_graph_before_its_first_job(graph, tmp_path):
    """In a process of its own: what is asked for is a folder of images without one."""
    (tmp_path / "photos").mkdir()
    experiment = json.loads(Path(graph.command[-1]).read_text()) | {"target": f"image_folder:{tmp_path / 'photos'}", "benchmark": False}
    files.write_json(tmp_path / "empty.json", experiment | {"name": "empty"})
    command = [*graph.command[:-1], str(tmp_path / "empty.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=graph.environment | {"AA_ARTIFACTS": str(tmp_path / "made")})
    assert done.returncode == 1
    assert "no images in" in done.stdout + done.stderr
    assert not list((tmp_path / "made").rglob("record.json"))


def planned(graph, code) -> str:
    """What Snakemake would do if the package's code were that in the folder `code`."""
    patched = f"import pathlib; from aa_utils.runner import code_closure; code_closure.ROOT = pathlib.Path({str(code)!r})"
    command = [sys.executable, "-c", f"{patched}; from snakemake.cli import main; main()", *graph.command[3:], "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, env=graph.environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_edited_statement_runs_what_depends_on_it_and_prose_runs_nothing(finished, tmp_path):
    shutil.copytree(ROOT / "aa_utils", tmp_path / "aa_utils", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "aa_utils/inter_domain/dann.py"  # its copy has a time of today
    text = module.read_text(encoding="utf-8")
    module.write_text(f"{text}\n# a remark\n", encoding="utf-8")
    assert "Nothing to be done" in planned(finished, tmp_path)
    module.write_text(f"{text}\nWEIGHT = 2\n", encoding="utf-8")
    output = planned(finished, tmp_path)
    for source in ("simple", "offline"):
        assert f"inter-domain: dann from {source}" in output
        assert f"intra-domain: fixmatch after dann from {source}" in output
    assert "tables and figures: uci_digits" in output
    assert not re.search(r"^(prompts|images|inter-domain: source_only)", output.partition("Job stats")[0], re.MULTILINE)


def test_a_lost_record_is_made_again_with_what_depends_on_it(finished):
    lost = finished.artifacts / "inter_domain/simple/dann/record.json"
    content = lost.read_text()
    lost.unlink()
    output = finished("--dry-run")
    lost.write_text(content)
    assert "inter-domain: dann from simple" in output
    assert "intra-domain: fixmatch after dann from simple" in output
    assert "from offline" not in output.partition("Job stats")[0]


def test_a_table_stays_when_the_job_that_makes_it_fails(finished):
    """With the table that is made soonest: outputs of all of them are declared by one function of the Snakefile."""
    table = finished.artifacts / "results/tables/number_of_images.csv"
    record = finished.artifacts / "ablations/number_of_images/record.json"
    broken = finished.artifacts / "few_images/inter_domain/offline/source_only/2/record.json"
    before, whole, time_of = table.read_bytes(), broken.read_bytes(), broken.stat().st_mtime_ns
    record.unlink()
    for content, ends_well in ((b"{}", False), (whole, True)):
        broken.write_bytes(content)
        os.utime(broken, ns=(time_of, time_of))  # it is no news for Snakemake
        process = finished.start()
        output, _ = process.communicate(timeout=300)
        assert (process.returncode == 0) is ends_well and "tables and figures: number of images" in output
        assert "tables and figures: uci_digits" not in output
        assert (record.is_file(), table.read_bytes()) == (ends_well, before)


def test_a_wrong_experiment_stops_with_a_sentence(graph):
    process = graph.start("--config", "writrs=1")
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "unknown key 'writrs'; did you mean 'writers'?" in output
    assert "Traceback" not in output
