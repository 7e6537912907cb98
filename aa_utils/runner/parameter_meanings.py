"""What a parameter takes because of what it is called: a folder that several runs write to, a benchmark, seeds."""

from aa_utils import plugins
from aa_utils.errors import InputError
from aa_utils.runner.out_folder import check_shared, check_writable

COMPUTES_NOTHING = "what a run is asked for: its record says it"
SHARED = {"results", "cache"}  # folders which several runs write to
BENCHMARKS = {"benchmark", "target"}  # as module or module:domain; "" is none


def check(values: dict[str, object]) -> None:
    """Errors: InputError for a value in `values` that its name does not allow."""
    for shared in sorted(SHARED & values.keys()):
        check_shared(shared, str(values[shared]))
        if shared != "cache" or values.get("writer") == "llm":  # no other writer keeps answers, and a checkout may be read-only
            check_writable(shared, str(values[shared]))
    for name in sorted(BENCHMARKS & values.keys()):
        if module := str(values[name]).partition(":")[0]:
            plugins.check("benchmarks", module, f" ('{name}')")
    if isinstance(seeds := values.get("seeds"), list) and len(set(seeds)) < len(seeds):
        raise InputError(f"'seeds' holds {next(s for s in seeds if seeds.count(s) > 1)} twice; each of them is one run")
