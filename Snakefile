# The graph of an experiment: one job = one notebook run = `python -m aa_utils.run` = one record.json.
#
#     snakemake --configfile experiments/pocket.yaml --cores 2        (make reproduce does this)
#
#     prompts -> images -> inter_domain -> intra_domain -> benchmark (tables and figures)
#                      \-> few_images -> number_of_images (the curve)
#
# What a job depends on: the records of the jobs before it, the model folder, its notebook, and the modules of aa_utils that the notebook
# imports, directly or not (aa_utils.experiment.code_files). An edit runs again exactly what depends on it. Executed notebooks and progress
# are logs, so a failed one stays. Priorities: the longest chain first, the curve in what is left. Heavy files go below artifacts/<name>/ (AA_ARTIFACTS moves them), tables and figures to results/<name>/.
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

NAME, SEEDS, RESULTS, TARGET = X["name"], X["seeds"], X["results"], X["target"]
WRITERS, GENERATOR = X["writers"], X["generator"]
INTER, INTRA = X["inter_domain"], X["intra_domain"]
TABLES = X["benchmark"]["notebook"]
TARGET_CODE = f"benchmarks/{TARGET.partition(':')[0]}"


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


def results(*paths):
    return [place(f"{RESULTS}/{path}") for path in paths]


RUNS = [f"inter_domain/{writer}/{method}" for writer in WRITERS for method in INTER["methods"]]
RUNS += [f"intra_domain/{writer}/{method}/{refinement}" for writer in WRITERS for method in INTER["methods"] for refinement in INTRA["methods"]]
CURVE = X["ablations"].get("number_of_images")
# The run on all images is a point of the curve that the grid has made already.
POINTS = [f"few_images/inter_domain/{CURVE['writer']}/{CURVE['method']}/{limit}" for limit in CURVE["limit_per_class"]] if CURVE else []
CURVE_RUNS = [*POINTS, f"inter_domain/{CURVE['writer']}/{CURVE['method']}"] if CURVE else []


wildcard_constraints:
    writer="[^/]+",
    method="[^/]+",
    refinement="[^/]+",
    limit="[0-9]+",


# Records are listed beside the tables: deleting one makes it again, even while the tables stand.
rule all:
    default_target: True
    input:
        [record(f"{stage}/{writer}") for stage in ("prompts", "images") for writer in WRITERS],
        [record(run) for run in RUNS + POINTS],
        record("benchmark"),
        [record(f"ablations/{name}") for name in X["ablations"]],


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
    priority: 3
    threads: X["threads"]
    shell:
        command("20_generate")


rule inter_domain:
    message:
        "inter-domain: {wildcards.method} from {wildcards.writer}"
    input:
        record("images/{writer}"),
        lambda w: code("30_inter_domain", f"inter_domain/{w.method}", TARGET_CODE),
    output:
        record("inter_domain/{writer}/{method}"),
    params:
        set=lambda w: settings(
            "30_inter_domain",
            INTER,
            INTER["methods"][w.method],
            source=out(f"images/{w.writer}"),
            target=TARGET,
            method=w.method,
            seeds=SEEDS,
            out=out(f"inter_domain/{w.writer}/{w.method}"),
        ),
    log:
        **logs("inter_domain/{writer}/{method}"),
    priority: 2
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule few_images:
    message:
        "number of images: {wildcards.limit} a class, {wildcards.method} from {wildcards.writer}"
    input:
        record("images/{writer}"),
        lambda w: code("30_inter_domain", f"inter_domain/{w.method}", TARGET_CODE),
    output:
        record("few_images/inter_domain/{writer}/{method}/{limit}"),
    params:
        set=lambda w: settings(
            "30_inter_domain",
            INTER,
            INTER["methods"][w.method],
            source=out(f"images/{w.writer}"),
            target=TARGET,
            method=w.method,
            seeds=SEEDS,
            limit_per_class=int(w.limit),
            out=out(f"few_images/inter_domain/{w.writer}/{w.method}/{w.limit}"),
        ),
    log:
        **logs("few_images/inter_domain/{writer}/{method}/{limit}"),
    threads: X["threads"]
    shell:
        command("30_inter_domain")


rule intra_domain:
    message:
        "intra-domain: {wildcards.refinement} after {wildcards.method} from {wildcards.writer}"
    input:
        record("inter_domain/{writer}/{method}"),
        lambda w: code("40_intra_domain", f"intra_domain/{w.refinement}", TARGET_CODE),
    output:
        record("intra_domain/{writer}/{method}/{refinement}"),
    params:
        set=lambda w: settings(
            "40_intra_domain",
            INTRA,
            INTRA["methods"][w.refinement],
            initial=out(f"inter_domain/{w.writer}/{w.method}"),
            target=TARGET,
            method=w.refinement,
            seeds=SEEDS,
            out=out(f"intra_domain/{w.writer}/{w.method}/{w.refinement}"),
        ),
    log:
        **logs("intra_domain/{writer}/{method}/{refinement}"),
    priority: 2
    threads: X["threads"]
    shell:
        command("40_intra_domain")


rule benchmark:
    message:
        f"tables and figures: {TARGET}"
    input:
        [record(run) for run in RUNS],
        code(TABLES, TARGET_CODE),
        model_files(X["benchmark"].get("clip", "models/pocket-clip")),
    output:
        record("benchmark"),
        report(results("tables/accuracy.csv"), category="Tables"),
        report(results("tables/claims.csv"), category="Tables"),
        report(results("figures/accuracy_by_stage.png", "figures/confusion.png", "figures/embedding.png"), category="Figures"),
    params:
        set=settings(
            TABLES,
            X["benchmark"],
            runs=[out(run) for run in RUNS],
            images=[out(f"images/{writer}") for writer in WRITERS],
            baseline=out(f"inter_domain/{X['benchmark']['baseline']}"),
            full=out(f"intra_domain/{X['benchmark']['full']}"),
            target=TARGET,
            results=RESULTS,
            out=out("benchmark"),
        ),
    log:
        **logs("benchmark"),
    threads: X["threads"]
    shell:
        command(TABLES)


rule number_of_images:
    message:
        "tables and figures: number of images"
    input:
        [record(run) for run in CURVE_RUNS],
        code("60_ablation_number_of_images", TARGET_CODE),
    output:
        record("ablations/number_of_images"),
        report(results("tables/number_of_images.csv"), category="Tables"),
        report(results("figures/number_of_images.png"), category="Figures"),
    params:
        set=settings(
            "60_ablation_number_of_images",
            runs=[out(run) for run in CURVE_RUNS],
            target=TARGET,
            results=RESULTS,
            out=out("ablations/number_of_images"),
        ),
    log:
        **logs("ablations/number_of_images"),
    threads: X["threads"]
    shell:
        command("60_ablation_number_of_images")
