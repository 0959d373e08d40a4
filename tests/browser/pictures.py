"""`make pictures`: every page of a filled installation as a picture in docs/pictures/, small enough to be kept.

Run as `python -m tests.browser.pictures [FOLDER]`.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page

from dashboard.pages import SECTIONS
from dashboard.views.result import SECTIONS as RESULT_SECTIONS
from tests.browser.browsing import (
    DESKTOP,
    PHONE,
    address_of,
    chromium,
    go_to,
    open_experiment,
    opened,
    settled,
    show_section,
    sign_in,
)
from tests.browser.stage import CAMPAIGN, RULE, SEGMENT, Stage, fill, installation

PEOPLE: Final = 2000
FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
TALLEST: Final = 2400
COLOURS: Final = 64
SEVERAL: Final = ("metrics", "time", "posterior", "messages", "traffic", "history")
"""Sections of the page of an experiment that have a picture of their own."""


def take(page: Page, file: Path) -> None:
    """The page as far as it reaches, at most `TALLEST` pixels of it, in few colours."""
    size = page.viewport_size or DESKTOP
    height = page.get_by_test_id("stMain").evaluate("each => each.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(TALLEST, max(size["height"], int(height)))})
    settled(page)
    # Charts are drawn once more at the new size.
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    page.set_viewport_size(size)


def take_all(browser: Browser, stage: Stage, folder: Path) -> None:
    page = opened(browser, stage.dashboard)
    take(page, folder / "sign-in.png")
    sign_in(page, stage.keys["admin"])
    for name in (name for names in SECTIONS.values() for name in names):
        if name == "result":
            open_experiment(page, CAMPAIGN)
            take(page, folder / "result.png")
            for section in SEVERAL:
                show_section(page, RESULT_SECTIONS.index(section))
                take(page, folder / f"result-{section}.png")
            continue
        go_to(page, address_of(name))
        take(page, folder / f"{name.replace('_', '-')}.png")
    for name, key in (("segments", SEGMENT), ("rules", RULE)):
        go_to(page, name)
        page.get_by_test_id("stPageLink").locator(f"a[href$='={key}']").first.click()
        page.wait_for_url(f"**={key}*")
        settled(page)
        take(page, folder / f"{name}-one.png")
    for name, options in (
        ("result-chinese", {"locale": "zh-CN"}),
        ("result-dark", {"color_scheme": "dark"}),
        ("result-phone", PHONE),
    ):
        page = opened(browser, stage.dashboard, **options)
        sign_in(page, stage.keys["read"])
        open_experiment(page, CAMPAIGN)
        take(page, folder / f"{name}.png")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as kept, installation(Path(kept), seconds=20) as stage:
        fill(stage, people=PEOPLE)
        with chromium() as browser:
            take_all(browser, stage, folder)
    size = sum(file.stat().st_size for file in folder.glob("*.png"))
    sys.stdout.write(f"{len(list(folder.glob('*.png')))} pictures in {folder}, {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
