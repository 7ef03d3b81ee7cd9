"""Whole journeys through the app, each from a visitor's first look to what they came for.

The fixtures ``server``, ``gallery`` and ``page`` assert at their end that log and page are free of
errors.
"""

from __future__ import annotations

import csv
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lora_lab import dashboard, jobs
from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import count
from lora_lab.dashboard.language import LANGUAGES, catalogue
from lora_lab.runs import DataConfig, Run, RunConfig, execute
from lora_lab.training import TrainConfig

from ..waiting import wait_for
from .browser import address_has, printed_no_error, serving, settled, visiting

PAGES = tuple(page.SHEET.name for page in dashboard.PAGES)
SHORT = "layers=top:1&train=100&epochs=2"
LONG = "train=5000&epochs=10"  # its first steps come at once, and nobody waits for its end
EARLIER = "earlier"  # finished runs are called so and by their method
HEAD, LORA = f"{EARLIER}-head", f"{EARLIER}-lora"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs: little training, head only and LoRA."""
    runs = tmp_path_factory.mktemp("trained")
    for method, rate in (("head", 5e-2), ("lora", 1e-3)):
        config = RunConfig(
            method=method,
            data=DataConfig(train_size=100),
            lora=LoraConfig(rank=2, layers="top:1"),
            train=TrainConfig(epochs=1, learning_rate=rate),
        )
        execute(config, runs / f"{EARLIER}-{method}")
    return runs


@pytest.fixture
def runs(trained: Path, runs: Path) -> Path:
    """As elsewhere, but the two finished runs are in it."""
    shutil.copytree(trained, runs)
    return runs


@pytest.fixture(scope="module")
def standing(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One app for all who only look: to start one takes longer than most visits."""
    folder = tmp_path_factory.mktemp("gallery")
    log, runs = folder / "server.log", shutil.copytree(trained, folder / "runs")
    with serving(log, LORA_LAB_RUNS=str(runs)) as address:
        yield address, log


@pytest.fixture
def gallery(standing: tuple[str, Path]) -> Iterator[str]:
    """The address of the app with two finished runs, in which nobody starts another."""
    address, log = standing
    yield address
    printed_no_error(log)


def test_the_budget_follows_the_rank(gallery: str, page: Page):
    open_page(page, f"{gallery}/budget")
    for rank in (8, 16):
        if rank > 8:
            slide(page, says("budget.rank.label"), to=str(rank))
        counted = f"{count('minilm', LoraConfig(rank=rank)).trainable_parameters:,}"
        expect(page.get_by_text(counted).first).to_be_visible()
    address_has(page, "rank=16")
    page.reload()
    expect(page.get_by_text(counted).first).to_be_visible()


def test_the_cost_of_a_run_follows_the_rank_before_the_click(gallery: str, page: Page):
    open_page(page, f"{gallery}/?layers=top:1")
    for rank in (8, 16):
        if rank > 8:
            slide(page, says("train.rank.label"), to=str(rank))
        counted = count("minilm", LoraConfig(rank=rank, layers="top:1")).trainable_parameters
        expect(page.locator(".figures")).to_contain_text(f"{counted:,}")
    expect(page.get_by_text("alpha / r = 16 / 16 = 1")).to_be_visible()
    address_has(page, "rank=16")


def test_start_watch_the_curve_grow_and_cancel(server: tuple[str, Path], runs: Path, page: Page):
    open_page(page, f"{server[0]}/?{LONG}")
    start(page)
    expect(page.get_by_text(says("train.live.loss"))).to_be_visible()
    run = wait_for(lambda: own(runs), "the run to train")
    progress = page.get_by_test_id("stProgress")
    first = progress.inner_text()
    expect(progress).not_to_have_text(first)  # it moves by itself

    link = page.url
    open_page(page, server[0])  # without the run in its address, the queue shows it
    expect(page.get_by_text("1 in training")).to_be_visible()
    page.goto(link)
    page.get_by_role("button", name=says("train.live.cancel")).click()
    expect(page.get_by_text(says("train.result.cancelled"))).to_be_visible()
    assert jobs.read(run.folder).state == "interrupted"
    expect(page.get_by_role("button", name=says("train.result.resume"))).to_be_visible()


def test_a_run_goes_on_while_its_page_is_closed(
    server: tuple[str, Path], runs: Path, browser: Browser
):
    address, _ = server
    with visiting(browser) as page:
        open_page(page, f"{address}/?{SHORT}")
        start(page)
        expect(page.get_by_text(says("train.live.loss"))).to_be_visible()
        address_has(page, "run=")
        page.reload()
        expect(page.get_by_text(says("train.live.loss"))).to_be_visible()
        link = page.url
    # The tab is closed. Someone else opens the link, on a phone.
    with visiting(browser, viewport={"width": 390, "height": 800}) as page:
        page.goto(link)
        accuracy = page.get_by_text(says("train.result.accuracy"), exact=True)
        expect(accuracy).to_be_visible()
        run = own(runs)
        assert run.state == "finished" and run.id in page.url
        shown = f"{100 * run.test.accuracy:.1f}%"
        expect(page.get_by_test_id("stMetricValue").first).to_have_text(shown)


def test_two_visitors_see_one_queue_and_share_a_configuration(
    server: tuple[str, Path], runs: Path, browser: Browser
):
    address, _ = server
    with visiting(browser) as first, visiting(browser) as second:
        for page in (first, second):
            open_page(page, f"{address}/?{LONG}")
            start(page)
            address_has(page, "run=")
        assert run_of(first) == run_of(second)  # the same settings join the same run
        expect(second.get_by_text(says("train.live.loss"))).to_be_visible()
        second.get_by_role("button", name=says("train.live.cancel")).click()
        expect(first.get_by_text(says("train.result.cancelled"))).to_be_visible()


def test_compare_two_runs(gallery: str, page: Page):
    open_page(page, f"{gallery}/compare?unit=runs&whose=own&chosen={HEAD},{LORA}")
    expect(page.get_by_text(says("compare.verdict.heading"))).to_be_visible()
    expect(page.get_by_text("measurable difference").first).to_be_visible()
    page.reload()  # the link holds the comparison
    expect(page.get_by_text("measurable difference").first).to_be_visible()
    assert HEAD in page.url and LORA in page.url


def test_advice_and_its_link_follow_the_question(gallery: str, page: Page):
    open_page(page, f"{gallery}/compare?for_size=500&for_minutes=60")
    command = page.get_by_test_id("stCode").filter(has_text="lora-lab train").first
    expect(command).to_contain_text("--train-size 500")
    size = page.get_by_role("spinbutton", name=says("compare.for_size.label"))
    size.fill("700")
    size.press("Enter")
    expect(command).to_contain_text("--train-size 700")
    address_has(page, "for_size=700")
    page.reload()
    expect(command).to_contain_text("--train-size 700")


def test_what_is_shown_can_be_taken_away(gallery: str, page: Page, tmp_path: Path):
    beginnings = {"CSV": b"\xef\xbb\xbf", "PNG": b"\x89PNG", "SVG": b"<svg"}
    for name in set(PAGES) - {"try_it"}:  # which shows something only once a sentence is typed
        open_page(page, f"{gallery}{path(name)}?run={LORA}")
        unfold(page)
        for kind, beginning in beginnings.items():
            button = page.get_by_role("button", name=kind, exact=True).first
            expect(button).to_be_visible()
            file = download(page, button, tmp_path)
            assert file.suffix == f".{kind.lower()}"
            assert beginning in file.read_bytes()[:300]
            if kind == "CSV":
                header, *rows = csv.reader(file.read_text("utf-8-sig").splitlines())
                assert rows and all(len(row) == len(header) for row in rows)


def test_the_adapter_can_be_taken_away(gallery: str, page: Page, tmp_path: Path):
    open_page(page, f"{gallery}/?run={LORA}")
    button = page.get_by_role("button", name=says("train.result.adapter"))
    file = download(page, button, tmp_path)
    names = {Path(name).name for name in zipfile.ZipFile(file).namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names


def test_every_page_speaks_both_languages_and_remembers_it(gallery: str, page: Page):
    title = page.get_by_role("heading", level=1)
    open_page(page, f"{gallery}{path(PAGES[-1])}")
    page.get_by_role("radio", name=LANGUAGES["zh"]).click()
    for name in PAGES:  # chosen in the navigation, which keeps the language
        page.get_by_role("link", name=says(f"common.pages.{name}", "zh"), exact=True).click()
        expect(title).to_have_text(says(title_key(name), "zh"))
        address_has(page, "lang=zh")
        settled(page)
    page.get_by_role("radio", name=LANGUAGES["en"]).click()
    expect(title).to_have_text(says(f"{name}.title"))
    expect(page).not_to_have_url(re.compile("lang="))


def test_the_back_button_brings_the_language_back(gallery: str, page: Page):
    open_page(page, gallery)
    title = page.get_by_role("heading", level=1)
    page.get_by_role("radio", name=LANGUAGES["zh"]).click()
    expect(title).to_have_text(says("train.title", "zh"))
    address_has(page, "lang=zh")
    settled(page)
    page.go_back()
    expect(title).to_have_text(says("train.title"))


def test_text_from_the_address_is_only_text(gallery: str, page: Page):
    image = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E"
    link = "%5Bx%5D(http://example.com)"
    open_page(page, f"{gallery}/?rank={image}&rate=http://example.com/a&run={link}")
    expect(page.get_by_text("Rank r cannot be")).to_be_visible()
    assert "<img src=x onerror=window.hacked=1>" in page.inner_text("body")
    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href*='example.com']").count() == 0


def test_the_keyboard_reaches_every_page_and_shows_where_it_is(gallery: str, page: Page):
    open_page(page, f"{gallery}{path(PAGES[0])}")
    link = page.get_by_role("link", name=says(f"common.pages.{PAGES[-1]}"), exact=True)

    def reached() -> bool:
        page.keyboard.press("Tab")
        return link.evaluate("element => element === document.activeElement")

    wait_for(reached, "the keyboard to reach the last page's link")
    expect(link).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    title = page.get_by_role("heading", level=1)
    expect(title).to_have_text(says(f"{PAGES[-1]}.title"))


def test_a_browser_that_asks_for_chinese_gets_it(gallery: str, browser: Browser):
    with visiting(browser, locale="zh-CN") as page:
        open_page(page, gallery)
        title = page.get_by_role("heading", level=1)
        expect(title).to_have_text(says("train.title", "zh"))


def test_a_presenter_sees_larger_type(gallery: str, page: Page):
    title = page.get_by_role("heading", level=1)
    for name in PAGES:
        open_page(page, f"{gallery}{path(name)}?present=0")
        before = size_of(title)
        page.get_by_text(says("common.presenter.label"), exact=True).click()
        address_has(page, "present=1")
        wait_for(lambda before=before: size_of(title) > before, "larger type")
        page.reload()
        wait_for(lambda before=before: size_of(title) > before, "larger type again")
        settled(page)


def test_a_lesson_asks_its_question_and_holds_what_it_fixed(gallery: str, page: Page):
    question = "Which rank is <b>enough</b>?"
    open_page(page, f"{gallery}/?rank=4&fix=rank&ask={question}")
    expect(page.get_by_text(question)).to_be_visible()  # letter by letter
    slider = page.get_by_role("slider", name=says("train.rank.label"))
    expect(slider).to_have_attribute("aria-valuetext", "4")
    slider.press("ArrowRight")
    settled(page)
    expect(slider).to_have_attribute("aria-valuetext", "4")
    address_has(page, "rank=4")


def test_a_mistake_is_planted_and_noticed(gallery: str, page: Page):
    open_page(page, f"{gallery}/gradients")
    expect(page.get_by_text(says("gradients.verdict.so_far"))).to_be_visible()
    expect(page.locator(".katex").nth(1)).to_be_visible()
    expect(page.locator(".katex-error")).to_have_count(0)
    mistake = "alpha-not-alpha-over-r"
    page.get_by_role("radio", name=says(f"gradients.mistake.option.{mistake}")).click()
    expect(page.get_by_text(says("gradients.verdict.unseen"))).to_be_visible()
    settled(page)
    page.get_by_role("button", name=says("gradients.sympy.button")).click()
    alone = says("gradients.verdict.sympy_alone").split("**")[1]
    expect(page.get_by_text(alone)).to_be_visible()
    address_has(page, f"mistake={mistake}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_the_screen(gallery: str, browser: Browser, scheme: str):
    for width in (390, 1024):
        viewport = {"width": width, "height": 768}
        with visiting(browser, viewport=viewport, color_scheme=scheme) as page:
            for name in PAGES:
                open_page(page, f"{gallery}{path(name)}?run={LORA}")
                main = page.get_by_test_id("stMain")
                needed = main.evaluate("element => element.scrollWidth")
                assert needed <= width, f"{name} needs {needed} pixels of {width}"


# How a visitor acts.


def says(key: str, language: str = "en") -> str:
    return catalogue()[key][language]


def title_key(name: str) -> str:
    """Compare's title is the experiment that it shows."""
    return "compare.grid.option.classroom" if name == "compare" else f"{name}.title"


def path(name: str) -> str:
    """Where a page is: the first one has no name of its own in the address."""
    return "/" if name == dashboard.FIRST.SHEET.name else f"/{name}"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)


def unfold(page: Page) -> None:
    """Open whatever waits behind a heading."""
    for heading in reversed(page.locator("details:not([open]) > summary").all()):
        heading.click()
    expect(page.locator("details:not([open])")).to_have_count(0)


def start(page: Page) -> None:
    page.get_by_role("button", name=says("train.start.one"), exact=True).click()
    cancel = page.get_by_role("button", name=says("train.live.cancel"))
    expect(cancel).to_be_visible()


def slide(page: Page, label: str, to: str) -> None:
    """Move a slider by one step with the keyboard."""
    slider = page.get_by_role("slider", name=label)
    before = slider.get_attribute("aria-valuetext")

    def moved() -> bool:
        if slider.get_attribute("aria-valuetext") == before:
            slider.press("ArrowRight")  # again, if a rerun took the slider away from under the key
        return slider.get_attribute("aria-valuetext") == to

    wait_for(moved, f"the slider to move from {before} to {to}")


def download(page: Page, button: Locator, folder: Path) -> Path:
    with page.expect_download() as found:
        button.click()
    file = folder / found.value.suggested_filename
    found.value.save_as(file)
    return file


def own(runs: Path) -> Run | None:
    """The run that was started in the browser, once it has begun."""
    started = [run for run in jobs.history(runs) if not run.id.startswith(EARLIER)]
    return next((run for run in started if run.state != "waiting"), None)


def run_of(page: Page) -> str:
    return re.search(r"run=([\w-]+)", page.url)[1]


def size_of(title: Locator) -> float:
    return title.evaluate("element => parseFloat(getComputedStyle(element).fontSize)")
