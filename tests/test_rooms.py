"""The rooms of the package: short files, few loose modules, imports that run one way. `python tests/test_rooms.py` prints the figures."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "aa_utils"
LONGEST, LOOSE = 250, 10


def room(module: str) -> str:
    """The folder below aa_utils in which a module lies, or the name of a loose one."""
    return module.split(".")[1]


def arrows() -> dict[str, set[str]]:
    """Room -> the other rooms and loose modules that its files import anywhere, in functions too."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[1:] == ("__init__",) or parts[-1] == "__main__":  # a command may call any room
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            found[parts[1]] |= {room(name) for name in names if name.startswith("aa_utils.") and room(name) != "__version__"} - {parts[1]}
    return dict(found)


def lengths() -> dict[str, int]:
    """File of the package -> its number of lines."""
    return {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}


def loose() -> list[str]:
    """The modules in the root of the package."""
    return sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def test_no_file_is_longer_than_a_reader_holds():
    assert {name: number for name, number in lengths().items() if number > LONGEST} == {}


def test_few_modules_lie_loose():
    assert len(loose()) <= LOOSE, loose()


def test_imports_between_rooms_run_one_way():
    """An order of the rooms exists in which each imports only those before it."""
    graph = arrows()
    assert graph["inter_domain"] >= {"training", "classifiers"}, "nothing was read"
    assert len(list(TopologicalSorter(graph).static_order())) == len({*graph, *(name for names in graph.values() for name in names)})


def test_stages_do_not_import_each_other():
    """They exchange files."""
    stages = {"prompts", "generate", "inter_domain", "intra_domain"}
    assert {stage: arrows()[stage] & stages for stage in stages} == {stage: set() for stage in stages}


if __name__ == "__main__":
    graph, longest = arrows(), max(lengths().items(), key=lambda item: item[1])
    folders = {name for name in graph if (PACKAGE / name).is_dir()}
    between = sum(len(names & folders) for name, names in graph.items() if name in folders)
    print(f"{len(folders)} rooms, {between} import arrows between them; with loose modules {sum(map(len, graph.values()))}")
    print(f"{len(lengths())} files, the longest {longest[0]} with {longest[1]} lines; loose: {', '.join(loose())}")
