"""The notebooks, executed, as a site that a class can read without installing anything.

    make book

Copies the notebooks to ``build/book``, executes the copies under nbmake, and renders them with the
parts of the library that they link to. Any warning of Sphinx and any link to a missing page is an
error.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
SHORT = ("01", "04", "05", "08")  # which notebooks take half as long as the others
INSTEAD = "*A control stands here when the notebook runs.*"
SOURCE_LINK = re.compile(r"\]\(\.\./(lora_lab/[\w/]+)\.py\)")


def build(target: Path, *, execute: bool = True) -> Path:
    """Build the site in ``target``; returns its first page.

    Raises:
        RuntimeError: a notebook failed, Sphinx warned, or a link leads nowhere.
    """
    source, site = target / "source", target / "site"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", source / "notebooks", ignore=_not_a_notebook)
    if execute:
        _execute(source / "notebooks")
    linked = set()
    for path in sorted((source / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        linked |= for_reading(notebook)
        nbformat.write(notebook, path)
    _write_pages(source, sorted(linked))
    options = ["-W", "--keep-going", "-q", "-c", str(Path(__file__).parent)]
    if sphinx_build([*options, str(source), str(site)]):
        raise RuntimeError("Sphinx warned about the pages, see above.")
    if broken := list(broken_links(site)):
        raise RuntimeError("Links that lead nowhere:\n" + "\n".join(broken))
    return site / "index.html"


def for_reading(notebook: nbformat.NotebookNode) -> set[str]:
    """Make a notebook readable without a kernel; returns the library's files that it links to.

    A widget becomes a note: the notebooks show each widget's figure beside it. Links to files of
    the library become links to their pages.
    """
    linked = set()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            linked |= set(SOURCE_LINK.findall(cell.source))
            cell.source = SOURCE_LINK.sub(r"](../\1.md)", cell.source)
        for output in cell.get("outputs", []):
            if WIDGET in output.get("data", {}):
                output.data = nbformat.from_dict({"text/markdown": INSTEAD})
    notebook.metadata.pop("widgets", None)
    return linked


def broken_links(site: Path) -> Iterator[str]:
    """Each link inside the site whose file or whose place in the file is missing."""
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = pages.get(to)
            if not to.exists() or (there and parts.fragment and parts.fragment not in there.ids):
                yield f"{path.relative_to(site)}: {link}"


class _Page(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.add(value)
            elif name in ("id", "name") and value:
                self.ids.add(value)


def _execute(folder: Path) -> None:
    """Two at a time, the short ones last: no core idles while the other has a long one left."""
    command = [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "--nbmake-timeout=600"]
    command += ["-n", "2", "--maxschedchunk=1", "-c", str(ROOT / "pyproject.toml")]
    in_order = sorted(folder.glob("*.ipynb"), key=lambda path: path.name.startswith(SHORT))
    if subprocess.run([*command, *map(str, in_order)]).returncode:
        raise RuntimeError("A notebook failed, see above.")


def _write_pages(source: Path, library: Iterable[str]) -> None:
    """The first page, and a page for each file of the library."""
    shutil.copy(Path(__file__).parent / "index.md", source)
    for name in library:
        page = source / f"{name}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        code = (ROOT / f"{name}.py").read_text(encoding="utf-8")
        page.write_text(f"# {name}.py\n\n~~~~python\n{code}~~~~\n", encoding="utf-8")
    listed = "\n".join(library)
    (source / "library.md").write_text(
        "# The library\n\nThe files that the notebooks link to.\n\n"
        f"~~~~{{toctree}}\n{listed}\n~~~~\n",
        encoding="utf-8",
    )


def _not_a_notebook(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".ipynb")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-execute", action="store_true", help="without outputs: seconds")
    options = parser.parse_args()
    try:
        print(build(ROOT / "build" / "book", execute=not options.no_execute))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
