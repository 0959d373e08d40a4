"""`make pictures`: every page of a filled installation as a picture in docs/pictures/, small enough to be kept.

Run as `python -m tests.browser.pictures [FOLDER]`.
"""

import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from dashboard.pages import SECTIONS
from dashboard.views.result import SECTIONS as RESULT_SECTIONS
from tests.browser.browsing import (
    DESKTOP,
    PHONE,
    address_of,
    choose,
    chromium,
    follow,
    go_to,
    open_experiment,
    opened,
    pick,
    press,
    settled,
    show_section,
    sign_in,
)
from tests.browser.stage import CAMPAIGN, RULE, SEGMENT, Stage, fill, installation

PEOPLE: Final = 2000
FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
USER: Final = "u000006"
ADVICE: Final = 120_000
"""Milliseconds that a simulation may take."""
TALLEST: Final = 2400
COLOURS: Final = 64
SEVERAL: Final = ("metrics", "time", "posterior", "messages", "traffic", "history")
"""Sections of the page of an experiment that have a picture of their own."""


def take(page: Page, file: Path) -> None:
    """The page as far as it reaches, at most `TALLEST` pixels of it, in few colours."""
    size = page.viewport_size or DESKTOP
    height = page.get_by_test_id("stMain").evaluate("each => each.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(TALLEST, max(size["height"], int(height)))})
    page.mouse.move(0, 0)
    page.get_by_test_id("stMain").evaluate("each => each.scrollTo(0, 0)")
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
        take(page, folder / f"{address_of(name) or 'home'}.png")
    for name, key in (("segments", SEGMENT), ("rules", RULE), ("users", USER)):
        go_to(page, name)
        follow(page, f"={key}")
        take(page, folder / f"{name}-one.png")
    take_campaign(page, folder)
    take_simulation(page, stage, folder)
    for name, options in (
        ("result-chinese", {"locale": "zh-CN"}),
        ("result-dark", {"color_scheme": "dark"}),
        ("result-phone", PHONE),
    ):
        page = opened(browser, stage.dashboard, **options)
        sign_in(page, stage.keys["read"])
        open_experiment(page, CAMPAIGN)
        take(page, folder / f"{name}.png")


def take_campaign(page: Page, folder: Path) -> None:
    """The wizard with a campaign in it: what each variant says to real people, and what it takes to see a difference."""
    open_experiment(page, CAMPAIGN)
    show_section(page, RESULT_SECTIONS.index("design"))
    follow(page, f"copy={CAMPAIGN}")
    choose(page, "Steps", "2. Variants")
    press(page, "Preview on real users")
    take(page, folder / "new-campaign-variants.png")
    choose(page, "Steps", "4. Plan")
    press(page, "Work out the plan")
    take(page, folder / "new-campaign-plan.png")


def take_simulation(page: Page, stage: Stage, folder: Path) -> None:
    """Fixed weights and two bandits in the same world."""
    go_to(page, "simulation")
    pick(page, "Campaign", stage.call("GET", f"/v1/experiments/{CAMPAIGN}")["name"])
    press(page, "Run the simulation")
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=ADVICE)
    settled(page)
    take(page, folder / "simulation-answer.png")


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
