"""The cluster profiles fit the graph and the plugins; what compares two runs sees every difference; a Slurm run where AA_TEST_SLURM=1."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from aa_utils.paths import ROOT

SLURM = ROOT / "tests/slurm"
PROFILES = {
    path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "profiles").glob("*/config.yaml"))
}
CLUSTERS = [name for name in PROFILES if name != "default"]
RULES = dict(re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", (ROOT / "Snakefile").read_text(encoding="utf-8"), flags=re.M | re.S))
# What runs on a GPU: making images, training, and CLIP's line in the tables.
ON_GPU = {name for name, body in RULES.items() if re.search(r'command\("(20|30|40)_|command\(TABLES\)|-m aa_utils\.generate', body)}


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(SLURM)
    import compare

    return compare


def test_there_are_these_profiles():
    assert set(PROFILES) == {"default", "slurm", "kubernetes"}
    assert {"image_shards", "images", "inter_domain", "intra_domain"} <= ON_GPU < set(RULES)


@pytest.mark.parametrize("name", CLUSTERS)
def test_one_gpu_for_what_generates_or_trains_and_none_for_the_rest(name):
    asked = {rule: resources.get("gpu", 0) for rule, resources in PROFILES[name]["set-resources"].items()}
    assert asked == dict.fromkeys(ON_GPU, 1), "profiles name exactly the rules of the Snakefile that use a GPU"
    assert PROFILES[name]["default-resources"].get("gpu", 0) == 0
    assert "set-threads" not in PROFILES[name], "the last bits of results depend on the number of threads: the experiment says it"


@pytest.mark.parametrize("name", CLUSTERS)
def test_clusters_go_on_after_failures_as_the_default_does(name):
    assert PROFILES["default"].items() <= PROFILES[name].items()
    assert PROFILES[name]["retries"] >= 1
    assert PROFILES[name]["keep-going"] is True


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option_of_this_snakemake(name):
    executor = PROFILES[name].get("executor", "local")
    if executor != "local":
        pytest.importorskip(f"snakemake_executor_plugin_{executor.replace('-', '_')}", reason="pip install -e '.[cluster]'")
    from snakemake.cli import get_argument_parser

    known = get_argument_parser()._option_string_actions
    assert [key for key in PROFILES[name] if f"--{key}" not in known] == []


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_dry_run_with_shards_needs_no_cluster(name, tmp_path):
    executor = PROFILES[name]["executor"]
    pytest.importorskip(f"snakemake_executor_plugin_{executor.replace('-', '_')}", reason="pip install -e '.[cluster]'")
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", tmp_path, "--dry-run", "--printshellcmds"]
    command += ["--workflow-profile", ROOT / "profiles" / name, "--configfile", ROOT / "experiments/smoke.yaml", "--config", "shards=2"]
    for tool in ("sh", "bash", "which"):  # and nothing of a cluster
        (tmp_path / tool).symlink_to(shutil.which(tool))
    bare = os.environ | {"AA_ARTIFACTS": str(tmp_path / "artifacts"), "PATH": str(tmp_path)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=bare)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    shards = re.findall(r"aa_utils\.generate --shard (\d) --num-shards 2 --set .*?out=artifacts/smoke/images/(\w+)", said)
    assert sorted(shards) == sorted((shard, writer) for writer in ("simple", "offline", "held_out") for shard in "01")


def test_a_wrong_number_of_shards_is_one_sentence(tmp_path):
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", tmp_path, "--dry-run", "--config", "shards=0"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "shards is 0; it is a whole number of at least 1" in done.stderr
    assert "Traceback" not in done.stderr


def a_record(seconds: float = 1.0, accuracy: float = 0.5, made_from: str = "1", drawn_from: str = "2") -> bytes:
    """A record whose first input was made by a run, which holds times itself; the second came from outside."""
    inputs = [{"name": "source", "sha256": made_from, "parent": "cd"}, {"name": "font", "sha256": drawn_from, "parent": None}]
    metrics = [{"accuracy": accuracy, "seconds_train": seconds}]
    return json.dumps({"run_id": "ab", "inputs": inputs, "seconds": seconds, "metrics": metrics}).encode()


def a_run(folder: Path) -> Path:
    """A little of what a run leaves."""
    files = {
        "images/offline/digit_zero/0.png": b"\x89PNG zero",
        "images/offline/metadata.jsonl": b'{"file_name": "digit_zero/0.png"}\n',
        "images/offline/.lock": b"17",
        "images/offline/executed.ipynb": b"{}",
        "train/record.json": a_record(),
        "train/seed0/history.csv": b"step,loss,images_per_second\n1,0.5,100\n",
        "results/tables/accuracy.csv": b"method,mean\ndann,0.5\n",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_runs_that_differ_in_time_alone_are_the_same(compare, tmp_path):
    one, other = a_run(tmp_path / "one"), a_run(tmp_path / "other")
    (other / "train/record.json").write_bytes(a_record(seconds=9.0, made_from="3"))
    (other / "train/seed0/history.csv").write_text("step,loss,images_per_second\n1,0.5,3\n")
    (other / "images/offline/.lock").write_text("18")
    (other / "images/offline/executed.ipynb").unlink()
    assert compare.differences(one, other) == ([], {".png": 1, ".jsonl": 1, ".json": 1, ".csv": 2})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("images/offline/digit_zero/0.png", b"\x89PNG zerp"),
        ("train/record.json", a_record(accuracy=0.5000001)),
        ("train/record.json", a_record(drawn_from="3")),
        ("train/seed0/history.csv", b"step,loss,images_per_second\n1,0.51,100\n"),
        ("results/tables/accuracy.csv", b"method,mean\r\ndann,0.5\n"),
    ],
)
def test_any_other_difference_is_named(compare, tmp_path, name, data):
    one, other = a_run(tmp_path / "one"), a_run(tmp_path / "other")
    (other / name).write_bytes(data)
    assert compare.differences(one, other)[0] == [f"differs: {name}"]
    (other / name).unlink()
    assert compare.differences(one, other)[0] == [f"only in {one}: {name}"]


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """A stand-in for kubectl that keeps what it is given and prints what it is told to; the paths of both."""
    (tmp_path / "bin").mkdir()
    given, answer = tmp_path / "given", tmp_path / "answer"
    script = tmp_path / "bin/kubectl"
    keep = f'[ "$1" = create ] && cat > "{given}"'
    script.write_text(f'#!/bin/sh\necho "$@" > "{given}.arguments"\n{keep}\ncat "{answer}" 2> /dev/null\nexit 0\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return given, answer


def test_a_job_on_kubernetes(kubectl, tmp_path, monkeypatch):
    monkeypatch.setenv("AA_ARTIFACTS", "/kit/artifacts")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "x" * 20)
    submit = PROFILES["kubernetes"]["cluster-generic-submit-cmd"]
    values = {"rule": "inter_domain", "resources.cpus_per_task": 8, "resources.mem_mb": 16000, "resources.runtime": 720, "resources.gpu": 1}
    for name, value in values.items():
        submit = submit.replace("{" + name + "}", str(value))
    program, *options = submit.split()
    done = subprocess.run([ROOT / program, *options, tmp_path / "snakejob.sh"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = kubectl[0].read_text()
    job = json.loads(text)
    assert done.stdout.strip() == job["metadata"]["name"]
    assert re.fullmatch(r"aa-inter-domain-[0-9a-f]{12}", job["metadata"]["name"])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", str(tmp_path / "snakejob.sh")]
    assert container["resources"]["limits"] == {"memory": "16000M", "nvidia.com/gpu": "1"}
    assert {"name": "AA_ARTIFACTS", "value": "/kit/artifacts"} in container["env"]
    assert "sk-" not in text, "keys come from a Secret"
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 720 * 60)


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        (None, "running"),
        ([{"type": "FailureTarget", "status": "True"}], "running"),
        ([{"type": "Failed", "status": "True"}], "failed"),
        ([{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}], "success"),
    ],
)
def test_the_status_of_a_job_on_kubernetes(kubectl, conditions, word):
    kubectl[1].write_text(json.dumps({"status": {"conditions": conditions}}))
    done = subprocess.run([ROOT / "profiles/kubernetes/job", "status", "aa-x"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{word}\n"), done.stderr


def test_jobs_on_kubernetes_are_cancelled_by_name(kubectl):
    subprocess.run([ROOT / "profiles/kubernetes/cancel", "aa-x", "aa-y"], check=True)
    assert Path(f"{kubectl[0]}.arguments").read_text().split() == ["delete", "job", "--ignore-not-found", "--wait=false", "aa-x", "aa-y"]


def test_the_volume_of_kubernetes_has_one_name():
    objects = list(yaml.safe_load_all((ROOT / "profiles/kubernetes/setup.yaml").read_text(encoding="utf-8")))
    assert {made["metadata"]["name"] for made in objects} == {"adapt-anything"}
    (container,) = objects[-1]["spec"]["containers"]
    submit = PROFILES["kubernetes"]["cluster-generic-submit-cmd"]
    assert f"--image {container['image']} --claim adapt-anything --mount {container['volumeMounts'][0]['mountPath']} " in submit


def test_the_local_slurm_says_what_it_needs():
    environment = {name: value for name, value in os.environ.items() if name != "AA_SLURM"}
    done = subprocess.run([SLURM / "cluster", "up"], capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "set AA_SLURM to a folder" in done.stderr


@pytest.mark.skipif(os.environ.get("AA_TEST_SLURM") != "1", reason="AA_TEST_SLURM=1 brings up a Slurm: root, slurm-wlm, munge")
def test_the_smoke_experiment_on_a_slurm_that_loses_a_node(tmp_path):
    done = subprocess.run([sys.executable, SLURM / "run.py", tmp_path], capture_output=True, text=True, env=os.environ | {"AA_SLURM": ""})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Both cluster runs made what the local run made." in done.stdout
