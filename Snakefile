# The graph of an experiment: one job = one notebook run = `python -m aa_utils.run` = one record.json.
#
#     snakemake --configfile experiments/pocket.yaml --cores 2        (make reproduce does this)
#
#     prompts -> images -> inter_domain -> intra_domain -> benchmark
#                    \-> ablation_number_of_images
#
# What a job depends on: the records of the jobs before it, the model folder, its notebook, and the modules of aa_utils that the notebook
# imports, directly or not (aa_utils.experiment.code_files). An edit runs again exactly what depends on it. Executed notebooks and progress
# are logs, so a failed one stays. Heavy files go below artifacts/<name>/ (AA_ARTIFACTS moves them), tables and figures to results/<name>/.
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
from aa_utils import experiment
from aa_utils.errors import InputError
from aa_utils.experiment import code_files, place, settings


if "name" not in config:

    configfile: str(ROOT / "experiments/pocket.yaml")


try:
    X = experiment.check(config, ", ".join(map(str, workflow.configfiles)) or "the experiment")
except InputError as error:
    sys.exit(str(error))

NAME, SEEDS, RESULTS = X["name"], X["seeds"], X["results"]
WRITERS, GENERATOR = X["writers"], X["generator"]
INTER, INTRA = X["inter_domain"], X["intra_domain"]
TARGET = f"benchmarks/{X['target']}"


def out(path):
    """A run's folder as its parameter `out` says it; `record` is where its record lies on this machine."""
    return f"artifacts/{NAME}/{path}"


def record(path):
    return place(out(path)) + "/record.json"


def logs(path):
    return {"notebook": place(out(path)) + "/executed.ipynb", "progress": place(out(path)) + "/progress.log"}


def code(*names):
    return [place(path) for path in code_files(*names)]


def model_files(model):
    """A model folder's files; a hub id has none here."""
    folder = Path(place(model))
    return sorted(str(file) for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []


def command(notebook):
    # A second call waits for a run that a killed first call left behind, instead of failing.
    path = place(f"notebooks/{notebook}.ipynb")
    return f"OMP_NUM_THREADS={{threads}} {{sys.executable:q}} -m aa_utils.run '{path}' --wait 3600 --set {{params.set:q}} > /dev/null"


PROMPTS = expand(record("prompts/{writer}"), writer=WRITERS)
IMAGES = expand(record("images/{writer}"), writer=WRITERS)
INTER_RUNS = expand("{writer}/{method}", writer=WRITERS, method=INTER["methods"])
INTRA_RUNS = expand("{run}/{refinement}", run=INTER_RUNS, refinement=INTRA["methods"])
ABLATIONS = [record(f"ablations/{name}") for name in X["ablations"]]


wildcard_constraints:
    writer="[^/]+",
    method="[^/]+",
    refinement="[^/]+",


# Records are listed beside the tables: deleting one makes it again, even while the tables stand.
rule all:
    default_target: True
    input:
        PROMPTS,
        IMAGES,
        [record(f"inter_domain/{run}") for run in INTER_RUNS],
        [record(f"intra_domain/{run}") for run in INTRA_RUNS],
        record("benchmark"),
        ABLATIONS,


rule prompts:
    message:
        "prompts: {wildcards.writer}"
    input:
        lambda w: code("10_prompts", f"prompts/{WRITERS[w.writer]['writer']}"),
    output:
        record("prompts/{writer}"),
    params:
        set=lambda w: settings("10_prompts", WRITERS[w.writer], class_names=X["class_names"], out=out(f"prompts/{w.writer}")),
    log:
        **logs("prompts/{writer}"),
    threads: X["threads"]
    shell:
        command("10_prompts")


rule images:
    message:
        "images: {wildcards.writer}"
    input:
        record("prompts/{writer}"),
        code("20_generate"),
        model_files(GENERATOR.get("model", "models/pocket-diffusion")),
    output:
        record("images/{writer}"),
    params:
        set=lambda w: settings(
            "20_generate", GENERATOR, WRITERS[w.writer], prompts=out(f"prompts/{w.writer}/prompts.jsonl"), out=out(f"images/{w.writer}")
        ),
    log:
        **logs("images/{writer}"),
    threads: X["threads"]
    shell:
        command("20_generate")


rule inter_domain:
    message:
        "inter-domain: {wildcards.method} from {wildcards.writer}"
    input:
        record("images/{writer}"),
        lambda w: code("30_inter_domain", f"inter_domain/{w.method}", TARGET),
    output:
        record("inter_domain/{writer}/{method}"),
    params:
        set=lambda w: settings(
            "30_inter_domain",
            INTER,
            INTER["methods"][w.method],
            source=out(f"images/{w.writer}"),
            target=X["target"],
            method=w.method,
            seeds=SEEDS,
            out=out(f"inter_domain/{w.writer}/{w.method}"),
        ),
    log:
        **logs("inter_domain/{writer}/{method}"),
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule intra_domain:
    message:
        "intra-domain: {wildcards.refinement} after {wildcards.method} from {wildcards.writer}"
    input:
        record("inter_domain/{writer}/{method}"),
        lambda w: code("40_intra_domain", f"intra_domain/{w.refinement}", TARGET),
    output:
        record("intra_domain/{writer}/{method}/{refinement}"),
    params:
        set=lambda w: settings(
            "40_intra_domain",
            INTRA,
            INTRA["methods"][w.refinement],
            inter_domain=out(f"inter_domain/{w.writer}/{w.method}"),
            target=X["target"],
            method=w.refinement,
            seeds=SEEDS,
            out=out(f"intra_domain/{w.writer}/{w.method}/{w.refinement}"),
        ),
    log:
        **logs("intra_domain/{writer}/{method}/{refinement}"),
    threads: X["threads"]
    shell:
        command("40_intra_domain")


rule benchmark:
    message:
        f"tables: {X['target']}"
    input:
        [record(f"inter_domain/{run}") for run in INTER_RUNS],
        [record(f"intra_domain/{run}") for run in INTRA_RUNS],
        code("51_benchmark_uci_digits"),
    output:
        record("benchmark"),
    params:
        set=settings("51_benchmark_uci_digits", runs=out(""), results=RESULTS, out=out("benchmark")),
    log:
        **logs("benchmark"),
    shell:
        command("51_benchmark_uci_digits")
