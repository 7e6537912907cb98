"""The pages for people: links lead somewhere, the code that they show runs, files they name exist."""

import importlib.util
import math
import re
from pathlib import Path

import pytest
import torch

from aa_utils import plugins
from aa_utils.classifiers import backbones
from aa_utils.paths import ROOT
from aa_utils.training.method import FromModule

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results/README.md", *(ROOT / "docs").rglob("*.md")])
FOLDERS = "aa_utils|experiments|examples|notebooks|results|models|published|tests|profiles"
MADE = {"reference/training.md"}  # made from docstrings when the pages are built


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    """Relative links of a page: the file is there, below docs/ or where the hook of the pages takes it from."""
    broken = []
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", without_code(page)):
        if re.match(r"[a-z]+:", target):
            continue
        places = [page.parent / target]
        if page.is_relative_to(ROOT / "docs"):
            inside = (page.parent / target).resolve().relative_to(ROOT).as_posix().removeprefix("docs/")
            if inside in MADE:
                continue
            places.append(ROOT / inside)
        if not any(place.exists() for place in places):
            broken.append(target)
    assert broken == []


def test_files_that_pages_name_exist():
    """Paths in code spans: `aa_utils/…`, `experiments/…`, `examples/…`, `notebooks/…`, `results/…`."""
    missing = []
    for page in PAGES:
        for path in re.findall(
            r"`((?:aa_utils|experiments|examples|notebooks|results|models|published|tests|profiles)/[\w./-]+)`", page.read_text()
        ):
            if "mine" not in path and not path.endswith("/entropy.py") and not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []


def test_every_notebook_becomes_a_page(tmp_path):
    """They are drawn as web pages, and not handed out as files."""
    pytest.importorskip("mkdocs_jupyter", reason="the extra docs is not installed")
    from mkdocs.config import load_config
    from mkdocs.structure.files import get_files

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path))
    files = config.plugins.on_files(get_files(config), config=config)
    pages = {file.src_uri: file.dest_path for file in files if file.is_documentation_page()}
    wanted = {f"notebooks/{path.name}": f"notebooks/{path.stem}/index.html" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert wanted.items() <= pages.items()
    assert {"results/README.md", "CHANGELOG.md", "reference/training.md"} <= pages.keys()


def test_the_method_of_the_tutorial_is_a_method(tmp_path):
    """The file that the tutorial shows keeps the contract: its loss is the formula, gradients reach the backbone."""
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    file = tmp_path / "entropy.py"
    file.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("aa_utils.inter_domain.entropy", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert set(vars(module)) & set(plugins.KINDS["inter_domain"][1])
    method, config = FromModule(module), module.Config(weight=0.3)
    torch.manual_seed(0)
    nets = torch.nn.ModuleDict({"classifier": backbones.build("pocket_resnet", 3).eval()})
    batch = {"x_s": torch.rand(4, 3, 32, 32), "x_t": torch.rand(5, 3, 32, 32), "y_s": torch.tensor([0, 1, 2, 0])}
    terms = method.losses(nets, batch, 0.5, config)
    p = nets["classifier"](batch["x_t"]).softmax(1).tolist()
    assert terms.losses["entropy"].item() == pytest.approx(-0.3 * sum(q * math.log(q) for row in p for q in row) / 5, rel=1e-4)
    method.step(nets, batch, 0.5, config, lambda part: part[0].backward())
    assert all(q.grad is not None for q in nets["classifier"].backbone.parameters())
