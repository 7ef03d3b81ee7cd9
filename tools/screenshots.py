"""The README's pictures: ``make screenshots`` starts the app, trains one run and photographs pages.

They are taken in Chromium at 1280 x 800 in the light theme and written to ``docs/images/``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, expect

from lora_lab.adapt import LoraConfig
from lora_lab.runs import DataConfig, Run, RunConfig, execute, new_run_folder
from lora_lab.training import TrainConfig
from tests.dashboard.browser import browsing, serving, settled, visiting

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
LARGEST = 200_000  # bytes per picture
RUN = RunConfig(
    data=DataConfig(train_size=250),
    lora=LoraConfig(layers="top:2"),
    train=TrainConfig(epochs=4, learning_rate=1e-3),
)
RUN_SETTINGS = {"layers": "top:2", "train": "250", "epochs": "4"}  # the same in an address


@dataclass(frozen=True)
class Picture:
    """One page as an address opens it (the first page's name is empty there).

    ``top`` names the heading to scroll to.
    """

    name: str
    page: str
    settings: dict[str, str]
    with_run: bool = False
    top: str = ""


PICTURES = (
    Picture("budget", "budget", {"model": "gpt3-175b"}),
    Picture("train", "", RUN_SETTINGS, with_run=True, top="What it buys"),
    Picture("gradients", "gradients", {"mistake": "transposed-A"}),
)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        print("Training a small run", flush=True)
        run = execute(RUN, new_run_folder(runs))
        log = Path(temporary) / "server.log"
        with serving(log, LORA_LAB_RUNS=str(runs)) as address, browsing() as browser:
            for picture in PICTURES:
                with visiting(browser, viewport=SIZE, color_scheme="light") as page:
                    taken = photograph(page, address, picture, run)
                file = FOLDER / f"{picture.name}.png"
                file.write_bytes(small(taken))
                print(f"{file}: {file.stat().st_size / 1000:.0f} kB", flush=True)


def photograph(page: Page, address: str, picture: Picture, run: Run) -> bytes:
    """The page as a PNG, once everything on it is drawn."""
    settings = picture.settings | ({"run": run.id} if picture.with_run else {})
    page.goto(f"{address}/{picture.page}?{urlencode(settings)}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settled(page)
    for waiting in ("stSpinner", "stSkeleton"):
        expect(page.get_by_test_id(waiting)).to_have_count(0)
    for chart in page.get_by_test_id("stVegaLiteChart").all():
        expect(chart.locator("canvas, svg").first).to_be_visible()
    page.evaluate("document.fonts.ready")
    if picture.top:
        heading = page.get_by_role("heading", name=picture.top, exact=True)
        heading.evaluate("element => element.scrollIntoView()")
    return page.screenshot(animations="disabled", caret="hide")


def small(png: bytes) -> bytes:
    """The picture with a palette, if that is what it takes to keep it small."""
    if len(png) <= LARGEST:
        return png
    image = Image.open(BytesIO(png)).convert("RGB")
    for colours in (256, 64):
        file = BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            return file.getvalue()
    raise ValueError(f"The picture has {file.tell():,} bytes with 64 colours; at most {LARGEST:,}.")


if __name__ == "__main__":
    main()
