"""MkDocs hook: pages that lie elsewhere in the repository (notebooks, results, model cards), and a reference page for each package."""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = (
    "notebooks/*.ipynb",
    "results/README.md",
    "results/*/tables/*.md",
    "results/*/figures/*.png",
    "models/*/README.md",
    "profiles/README.md",
    "examples/README.md",
    "experiments/*.yaml",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Notebooks and the API reference in the navigation, each by the order of its files."""
    notebooks = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    reference = [{name: f"reference/{name}.md"} for name in packages()]
    config.nav = [*config.nav, {"Notebooks": notebooks}, {"API": ["reference/index.md", *reference]}, {"Changelog": "CHANGELOG.md"}]
    return config


@event_priority(100)  # before mkdocs-jupyter looks which files are notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside of docs/, under the path that it has in the repository, so that its own links hold."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            # Not `File.generated`: mkdocs-jupyter would look for such a notebook in vain.
            files.append(File(path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls))
    for name, modules in packages().items():
        text = f"# {name}\n\n" + "\n\n".join(f"::: {module}" for module in modules) + "\n"
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links into docs/ from a page of the repository's root: docs/ is the root here."""
    return markdown.replace("](docs/", "](") if "/" not in page.file.src_uri else markdown


def packages() -> dict[str, list[str]]:
    """Package or root module of aa_utils -> its public modules that define or say something, in alphabetical order."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "aa_utils").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        if module != "aa_utils" and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(parts[1] if len(parts) > 2 else "ground", []).append(module)
    return found
