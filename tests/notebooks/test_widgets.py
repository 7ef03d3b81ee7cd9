"""A notebook's control in JupyterLab, in a real browser: moving it draws a new figure."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect

from ..browser import MILLISECONDS, browsing, serving
from ..waiting import wait_for

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_loss_and_gradient.ipynb"


def jupyter(port: int) -> list[str]:
    quiet = [
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    options = [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--no-browser"]
    access = ["--IdentityProvider.token=", "--ServerApp.allow_root=True", "--ServerApp.root_dir=."]
    return [sys.executable, "-m", "jupyterlab", *options, *access, *quiet]


def up_to_first_control(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    number = next(i for i, c in enumerate(notebook.cells) if "widgets.interactive(" in c.source)
    notebook.cells = notebook.cells[: number + 1]
    return notebook


def seen_at_the_end(page: Page, control: Locator) -> bool:
    """JupyterLab draws only the cells in view, and outputs above push the last one out of it."""
    page.locator(".jp-Notebook").press("End")
    return control.is_visible()


def test_moving_a_slider_draws_a_new_figure(tmp_path):
    nbformat.write(up_to_first_control(NOTEBOOK), tmp_path / "lesson.ipynb")
    log = tmp_path / "jupyter.log"
    with serving(jupyter, "/api", log, tmp_path) as address, browsing() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        page.goto(f"{address}/doc/tree/lesson.ipynb")
        expect(page.get_by_text("(ipykernel) | Idle")).to_be_visible()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()

        slider = page.get_by_role("slider").first
        wait_for(lambda: seen_at_the_end(page, slider), "the slider")
        figure = page.locator(".widget-output img, .jupyter-widgets-output-area img").last
        expect(figure).to_be_visible()
        before, value = figure.get_attribute("src"), slider.get_attribute("aria-valuenow")
        slider.press("ArrowRight")
        wait_for(lambda: slider.get_attribute("aria-valuenow") != value, "the slider to move")
        wait_for(lambda: figure.get_attribute("src") != before, "a new figure")
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
