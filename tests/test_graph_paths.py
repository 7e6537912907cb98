"""Snakemake with people's paths and names: braces, apostrophes, spaces; and two calls of it at once."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest
import yaml

from aa_utils.experiment.graph_paths import literal, unbraced
from aa_utils.paths import ROOT

ODD = "it's {a} {b,.*} {{c}} folder"


def test_a_path_without_braces_is_itself(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert unbraced("artifacts/it's a path") == "artifacts/it's a path"
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_braces_is_a_link_the_same_each_time(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    link = unbraced(str(tmp_path / ODD))
    assert not set("{}") & set(link)
    (tmp_path / link / "file").write_text("x")
    assert (tmp_path / ODD / "file").read_text() == "x"
    assert unbraced(str(tmp_path / ODD)) == link != unbraced(str(tmp_path / "other {a}"))
    assert unbraced(ODD) == link, "the same folder, said from here"


def test_braces_in_a_message_are_characters():
    assert literal(ODD).format(a=1) == ODD


@pytest.fixture(scope="module")
def braced(tmp_path_factory):
    """The commands that Snakemake plans, from another folder, for an experiment whose names and paths all hold braces and apostrophes."""
    base = tmp_path_factory.mktemp("graph") / ODD
    base.mkdir()
    config = yaml.safe_load((ROOT / "experiments/smoke.yaml").read_text(encoding="utf-8"))
    config |= {"class_names": ["mug", "{p}en", "it's {} a cup", "{{x}}"]}
    config |= {"generator": {"model": f"{base}/model"}, "results": f"{base}/results"}
    (base / "experiment.yaml").write_text(yaml.safe_dump(config))
    (base / "model").mkdir()
    (base / "model/model_index.json").write_text("{}")
    kit = base / "kit"
    kit.mkdir()
    for name in ("aa_utils", "notebooks"):
        shutil.copytree(ROOT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("Snakefile", "pyproject.toml", "experiments", "models", "published"):
        (kit / name).symlink_to(ROOT / name)
    (base / "elsewhere").mkdir()
    command = [sys.executable, "-m", "snakemake", "-s", str(kit / "Snakefile"), "--directory", str(base / "elsewhere"), "--dry-run"]
    command += ["--printshellcmds", "--configfile", str(base / "experiment.yaml"), "--cores", "1"]
    environment = os.environ | {"AA_ARTIFACTS": str(base / "artifacts"), "PYTHONPATH": str(kit)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return base, done.stdout + done.stderr


def test_the_graph_holds_with_braces_everywhere(braced):
    base, said = braced
    lines = [line.strip() for line in said.splitlines() if "-m aa_utils" in line]
    assert len(lines) == 19, "every job of the smoke experiment, but for its target `all`"
    words = [shlex.split(line) for line in lines]  # a broken quote would raise
    values = {word for line in words for word in line}
    assert {f"model={base}/model", f"{base}/kit/notebooks/30_inter_domain.ipynb"} <= values
    names = next(word for word in values if word.startswith("class_names="))
    assert json.loads(names.partition("=")[2]) == ["mug", "{p}en", "it's {} a cup", "{{x}}"]
    assert any(word.startswith("class_names=") and yaml.safe_load(word.partition("=")[2])[2] == "it's {} a cup" for word in values)


def test_outputs_of_the_graph_lie_in_the_braced_folders(braced):
    base, said = braced
    outputs = re.findall(r"Missing output files: ([^;\n]+)", said)
    assert len(outputs) > 5
    for path in ", ".join(outputs).split(", "):
        assert not set("{}") & set(path)
        folder = os.path.realpath(base / "elsewhere" / path.rpartition("/")[0])
        assert folder.startswith((f"{base}/artifacts/smoke", f"{base}/results")), path


GRAPH = """
import os, sys, time
os.environ.setdefault("AA_SINCE", str(time.time()))
rule all:
    input: "d/record.json"
rule work:
    output: "{name}/record.json"
    wildcard_constraints: name="[abc]"
    params: seconds=lambda w: config.get("wait_" + w.name, 1)
    shell: "{sys.executable:q} -m aa_utils.run NOTEBOOK --wait 60 --set seconds={params.seconds} out=FOLDER/{wildcards.name} > /dev/null"
rule last:
    input: "a/record.json", "b/record.json", "c/record.json"
    output: "d/record.json"
    shell: "{sys.executable:q} -m aa_utils.run NOTEBOOK --wait 60 --set seconds=1 out=FOLDER/d > /dev/null"
"""


def test_two_calls_of_snakemake_at_once_both_end_well(make_notebook, tmp_path):
    source = "import time\ntime.sleep(seconds)\nwith open(f'{out}/runs', 'a') as stream:\n    stream.write('x')"
    notebook = make_notebook(f'seconds = 1  # of work\nout = "{tmp_path}/x"  # folder', source)
    (tmp_path / "Snakefile").write_text(GRAPH.replace("NOTEBOOK", str(notebook)).replace("FOLDER", str(tmp_path)))
    command = [sys.executable, "-m", "snakemake", "-s", str(tmp_path / "Snakefile"), "--directory", str(tmp_path), "--nolock"]
    both = []
    for cores in (3, 2):  # the second waits for two runs that the first makes, and finds the third when its turn comes
        call = [*command, "--rerun-incomplete", "--config", "wait_a=1", "wait_b=2", "wait_c=3", "--cores", str(cores)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        both.append(subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment))
        time.sleep(1)
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)
    assert {name: (tmp_path / name / "runs").read_text() for name in "abcd"} == dict.fromkeys("abcd", "x"), "each run was made once"
    assert all((tmp_path / name / "record.json").is_file() for name in "abcd")
