"""The app as it is: a real server, a real browser, a real run on real sentences."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from lora_lab import jobs
from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import count

from ..waiting import wait_for
from .browser import address_has, settled


def test_from_a_rank_to_a_result(server: tuple[str, Path], runs: Path, page: Page):
    address, _ = server
    page.goto(f"{address}/?layers=top:1&train=100&epochs=2&lang=en")
    figures = page.locator(".figures")
    expect(figures).to_contain_text(trainable(rank=8))

    # The rank by keyboard: one step of the slider doubles it.
    settled(page)
    slider = page.get_by_role("slider", name="Rank r")

    def moved() -> bool:
        if slider.get_attribute("aria-valuetext") == "8":
            slider.press("ArrowRight")  # again, if a rerun took the slider away from under the key
        return slider.get_attribute("aria-valuetext") == "16"

    wait_for(moved, "the slider to move")
    expect(figures).to_contain_text(trainable(rank=16))
    expect(page.get_by_text("Scale alpha / r = 16 / 16 = 1")).to_be_visible()
    address_has(page, "rank=16")

    settled(page)
    page.get_by_role("button", name="Start run").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    curve = page.get_by_text("Points: mean of each epoch.")
    expect(curve).to_be_visible()
    address_has(page, "run=")

    # Closing and opening again: the address brings the run back.
    link = page.url
    page.goto(f"{address}/?lang=en")
    expect(page.get_by_role("button", name="Start run")).to_be_visible()
    expect(curve).to_have_count(0)
    page.goto(link)
    expect(curve).to_be_visible()

    expect(page.get_by_text("Test accuracy", exact=True)).to_be_visible()
    [run] = jobs.history(runs)
    assert run.state == "finished"
    shown = f"{100 * run.test.accuracy:.1f}%"
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(shown)
    expect(page.get_by_text("difference").first).to_be_visible()
    assert run.id in page.url  # a label or anything else never takes the place of the run


def test_language_and_presenter_by_hand(server: tuple[str, Path], page: Page):
    address, _ = server
    page.goto(address)
    expect(page.get_by_role("button", name="Start run")).to_be_visible()
    settled(page)
    letters = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    before = page.evaluate(letters)
    page.get_by_text("Presenter", exact=True).click()
    wait_for(lambda: page.evaluate(letters) > before, "large letters")
    address_has(page, "present=1")
    settled(page)
    page.get_by_text("中文", exact=True).click()
    expect(page.get_by_role("button", name="开始训练")).to_be_visible()
    address_has(page, "lang=zh")
    settled(page)
    page.go_back()
    expect(page.get_by_role("button", name="Start run")).to_be_visible()


def test_text_from_the_address_is_only_text(server: tuple[str, Path], page: Page):
    address, _ = server
    image = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E"
    page.goto(f"{address}/?rank={image}&rate=http://example.com/a&run=%5Bx%5D(http://example.com)")
    expect(page.get_by_text("Rank r cannot be")).to_be_visible()
    assert "<img src=x onerror=window.hacked=1>" in page.inner_text("body")
    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href*='example.com']").count() == 0


def trainable(rank: int) -> str:
    return f"{count('minilm', LoraConfig(rank=rank, layers='top:1')).trainable_parameters:,}"
