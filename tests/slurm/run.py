"""The smoke experiment on a real Slurm of two nodes, in peace and in trouble, against the same on this machine alone.

    sudo make slurm        (or: python tests/slurm/run.py FOLDER, which keeps everything there)

Brings up its own Slurm (tests/slurm/cluster) and runs the graph with the shipped profile. Trouble: a node is killed while it makes images,
and a job with a higher priority takes the place of a training. Peace: images are made in two shards. Prints which node ran what, compares
every image, table, figure, model and record with the local run's, and takes the Slurm down again, whatever happened. Exit code 0: all the
same.
"""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import compare  # beside this file
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NICE = int(os.environ.get("AA_NICE", "0"))
# What this Slurm has not, and a real one has: an accounting database; and its jobs are short.
LOCAL = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20", "--jobs", "2"]
STARTED: list[subprocess.Popen] = []


def main() -> int:
    """0 if both cluster runs used both nodes, lost a node where they should, and made what the local run made."""
    folder = Path(sys.argv[1]).resolve()
    state = Path(os.environ.get("AA_SLURM") or folder / "slurm").resolve()
    os.environ["AA_SLURM"] = str(state)
    os.environ["SLURM_CONF"] = str(state / "etc/slurm.conf")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` is reached
    on_slurm = ["--workflow-profile", ROOT / "profiles/slurm", *LOCAL]
    try:
        cluster("up")
        finish(start(folder / "local", "--cores", "2"))
        process = start(folder / "trouble", *on_slurm)
        killed = kill_a_node_at_work(folder / "trouble", process)
        preempted = preempt_a_training(folder / "trouble", process)
        cluster("revive", killed["node"])
        finish(process)
        finish(start(folder / "peace", *on_slurm, "--config", "shards=2"))
        return report(folder, killed, preempted)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in STARTED:
            process.kill()  # asked politely, it would wait for jobs
        cluster("down")


def cluster(*arguments: str) -> None:
    """Call tests/slurm/cluster. Errors: SystemExit with its exit code; it has said why."""
    done = subprocess.run([HERE / "cluster", *arguments])
    if done.returncode:
        sys.exit(done.returncode)


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    """Start Snakemake on experiments/smoke.yaml; all that it writes lies below `folder`, its own words in `said.log`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", folder, *arguments]
    command += ["--configfile", ROOT / "experiments/smoke.yaml"]
    # What Slurm would share anyway: the environment of the login node. The package is this checkout's, whatever is installed.
    environment = os.environ | {"AA_ARTIFACTS": str(folder / "artifacts"), "PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"}
    print(f"{folder.name}: {' '.join(map(str, command[2:]))}", flush=True)
    with (folder / "said.log").open("a") as log:
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder, preexec_fn=lambda: os.nice(NICE)
        )
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen) -> None:
    """Wait for Snakemake. Errors: SystemExit with the end of what it said if it failed."""
    folder = Path(process.args[process.args.index("--directory") + 1])
    began = time.monotonic()
    if process.wait():
        sys.exit(f"{folder.name}: Snakemake ended with {process.returncode}\n" + "\n".join(said(folder)[-40:]))
    print(f"{folder.name}: whole after another {time.monotonic() - began:.0f} s", flush=True)


def kill_a_node_at_work(folder: Path, process: subprocess.Popen) -> dict:
    """Wait until a node has made some images of a run, not all of them, and kill it; returns {node, job, run, images}."""
    while process.poll() is None:
        for job in jobs():
            images = folder / f"artifacts/smoke/images/{job['run']}"
            made = len(list(images.glob("*/*.png")))
            if job["rule"] == "images" and job["state"] == "RUNNING" and made and not (images / "metadata.jsonl").exists():
                cluster("kill", job["node"])
                victim = {"node": job["node"], "job": job["job"], "run": f"images/{job['run']}", "images": made}
                print(f"{folder.name}: killed {job['node']} while job {job['job']} had made {made} images of {job['run']}", flush=True)
                return victim
        time.sleep(0.2)
    sys.exit(f"{folder.name}: Snakemake ended before any node could be killed at work\n" + "\n".join(said(folder)[-40:]))


def preempt_a_training(folder: Path, process: subprocess.Popen) -> dict:
    """Wait until a training runs, and submit a job that takes its place; returns {node, job, rule, run} of the training."""
    while process.poll() is None:
        begun = [path.parent for path in (folder / "artifacts/smoke/inter_domain").glob("*/*/executed.ipynb")]
        at_work = {f"{run.parent.name}_{run.name}" for run in begun if not (run / "record.json").exists()}
        for job in jobs():
            if job["rule"] == "inter_domain" and job["state"] == "RUNNING" and job["run"].strip("_") in at_work:
                command = ["sbatch", "--partition=urgent", "--gpus=1", f"--nodelist={job['node']}", "--output=/dev/null", "--wrap=sleep 5"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                print(f"{folder.name}: job {job['job']}, training {job['run']}, gives up {job['node']} to an urgent one", flush=True)
                return {key: job[key] for key in ("node", "job", "rule", "run")}
        time.sleep(0.2)
    sys.exit(f"{folder.name}: Snakemake ended before any training could be preempted\n" + "\n".join(said(folder)[-40:]))


def jobs() -> list[dict[str, str]]:
    """What Slurm knows of every job: job, rule, run, state, node, gpus (what it asked for), name (that of Snakemake's run)."""
    done = subprocess.run(["scontrol", "show", "jobs", "-o"], capture_output=True, text=True)
    found = []
    for line in filter(re.compile("JobId=").match, done.stdout.splitlines()):  # "No jobs in the system" is no job
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        rule, _, wildcards = fields.get("Comment", "").removeprefix("rule_").partition("_wildcards_")
        found.append(
            {
                "job": fields["JobId"],
                "rule": rule,
                "run": wildcards,
                "state": fields["JobState"],
                "node": fields["NodeList"],
                "gpus": fields.get("TresPerJob", "").removeprefix("gres:gpu:") or "0",
                "name": fields["JobName"],
            }
        )
    return found


def ledger(folder: Path, state: Path) -> list[dict[str, str]]:
    """One row for each time a job of `folder`'s run held a node: job, rule, run, gpus, node, state, start, end (Slurm's log of jobs)."""
    (uuid,) = re.findall(r"SLURM run ID: (\S+)", "\n".join(said(folder)))
    named = {job["job"]: job for job in jobs() if job["name"] == uuid}
    rows = []
    for line in (state / "jobs.log").read_text().splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if fields["JobId"] in named:
            job = named[fields["JobId"]]
            held = {"node": fields["NodeList"], "state": fields["JobState"], "start": fields["StartTime"], "end": fields["EndTime"]}
            rows.append({key: job[key] for key in ("job", "rule", "run", "gpus")} | held)
    return sorted(rows, key=lambda row: (row["start"], row["job"]))


def report(folder: Path, killed: dict, preempted: dict) -> int:
    """Print and keep (where-*.csv) which node ran what, compare with the local run; returns the exit code."""
    wrong = []
    for name in ("trouble", "peace"):
        rows = ledger(folder / name, Path(os.environ["AA_SLURM"]))
        with (folder / f"where-{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        print(f"\n{name}: which node ran what (job, node, GPUs, how it ended, from, to)")
        for row in rows:
            print("  {job:>4} {node:<4} {gpus} {state:<10} {start} {end}  {rule} {run}".format_map(row))
        wrong += [f"{name}: job {row['job']} of {row['rule']} held {row['gpus']} GPUs" for row in rows if row["gpus"] != gpus(row["rule"])]
        used = sorted({row["node"] for row in rows})
        if used != ["n1", "n2"]:
            wrong.append(f"{name}: jobs ran on {used}, not on both nodes")
        if name == "trouble":
            ends = {job["job"]: [row["state"] for row in rows if row["job"] == job["job"]] for job in (killed, preempted)}
            print(f"trouble: how the tries of the two jobs ended: {ends}")
            wrong += [f"trouble: job {job} was not started again: {states}" for job, states in ends.items() if len(states) < 2]
        found, compared = compare.differences(folder / "local/artifacts/smoke", folder / name / "artifacts/smoke")
        wrong += [f"{name}: {sentence}" for sentence in found]
        print(f"{name}: {sum(compared.values())} files compared with the local run: {compared}; {len(found)} differ")
    print("\n" + ("\n".join(wrong) or "Both cluster runs made what the local run made."))
    return 1 if wrong else 0


def gpus(rule: str) -> str:
    """How many GPUs the profile asks for a job of `rule`."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    return str(profile["set-resources"].get(rule, {}).get("gpu", 0))


def said(folder: Path) -> list[str]:
    """The lines that Snakemake wrote."""
    return (folder / "said.log").read_text(errors="replace").splitlines()


if __name__ == "__main__":
    sys.exit(main())
