"""What a person does in the browser, and what they see there. Every wait has an end; none is a pause."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from playwright.sync_api import Browser, Error, Locator, Page, ViewportSize, expect, sync_playwright

from dashboard.pages import ADDRESSES

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE: Final = 60_000
"""Milliseconds. A busy machine takes long; what never comes ends the test all the same."""
BEGINS: Final = 3_000
"""Milliseconds in which a page begins to answer."""
OPENS: Final = 3_000
"""Milliseconds in which a list opens."""
TRIES: Final = 4
DESKTOP: Final[ViewportSize] = {"width": 1400, "height": 1000}
PHONE: Final[dict[str, Any]] = {
    "viewport": {"width": 400, "height": 800},
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
}
"""A window of this size and what makes it a phone's: Streamlit closes its navigation behind who follows it on a phone alone."""


@contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], headless=True)
        yield browser
        browser.close()


def opened(browser: Browser, url: str, **context: Any) -> Page:
    """The dashboard in a window of its own, before the sign-in."""
    page = browser.new_context(
        **{"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "Europe/Amsterdam"} | context
    ).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    settled(page)
    return page


def sign_in(page: Page, key: str, *, accepted: bool = True) -> None:
    page.locator("input[type=password]").fill(key)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    if accepted:
        expect(page.get_by_test_id("stSidebarNav")).to_be_attached(timeout=PATIENCE)
    changed(page)


def settled(page: Page) -> None:
    """Wait until the page stands: the script has run, nothing on it is of an earlier run, no spinner turns."""
    app = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(app).to_be_attached(timeout=PATIENCE)
    unfinished = page.locator("[data-stale=true], [data-testid=stSpinner], [data-testid=stSkeleton]")
    expect(unfinished).to_have_count(0, timeout=PATIENCE)


def go_to(page: Page, address: str) -> None:
    """Follow the navigation to the page with this address."""
    if page.get_by_test_id("stSidebar").get_attribute("data-collapsed") == "true":
        page.get_by_test_id("stExpandSidebarButton").click()
    link = page.get_by_test_id("stSidebarNavLink").and_(page.locator(f"[href$='/{address}']")).first
    title = link.inner_text()
    link.click()
    expect(page).to_have_url(re.compile(rf"/{address}(\?.*)?$"), timeout=PATIENCE)
    # Only the run of this page draws its heading: from here on, what has settled is no longer the page of before.
    expect(heading(page)).to_have_text(title, timeout=PATIENCE)
    settled(page)


def follow(page: Page, query: str) -> None:
    """Follow the first link with this in its address to what has a heading of its own."""
    before = heading(page).inner_text()
    # Streamlit draws a link that has a help twice, and hides the one that is not for a window of this size.
    links = page.get_by_test_id("stMain").locator(f"a[href*='{query}']")
    links.filter(visible=True).first.click()
    expect(heading(page)).not_to_have_text(before, timeout=PATIENCE)
    settled(page)


def heading(page: Page) -> Locator:
    return page.get_by_test_id("stMain").get_by_test_id("stHeading").first


def changed(page: Page) -> None:
    """Wait until what was just done shows."""
    # The run begins a moment after the click. One that is over before it could be seen is no harm.
    with suppress(Error):
        page.wait_for_selector("[data-test-script-state=running]", state="attached", timeout=BEGINS)
    settled(page)


def press(page: Page, name: str | re.Pattern[str]) -> None:
    """Press the button that reads so."""
    page.get_by_test_id("stMain").get_by_role("button", name=name).first.click()
    changed(page)


def choose(page: Page, question: str, answer: str, *, place: int = 0) -> None:
    """Choose one of the answers that stand side by side. place: which of the questions that read so."""
    question_of(page, question).nth(place).get_by_role("radio", name=answer, exact=True).click()
    changed(page)
    expect(
        question_of(page, question).nth(place).get_by_role("radio", name=answer, exact=True)
    ).to_be_checked(timeout=PATIENCE)


def question_of(page: Page, question: str) -> Locator:
    return page.get_by_role("radiogroup", name=question, exact=True)


def write(page: Page, label: str, text: str, *, place: int = 0) -> None:
    """Write into a field, and leave it."""
    field = (
        page.get_by_test_id("stMain")
        .get_by_label(label, exact=True)
        .and_(page.locator("input, textarea"))
        .nth(place)
    )
    field.fill(text)
    field.press("Tab")
    changed(page)


def pick(page: Page, label: str, option: str, *, place: int = 0) -> None:
    """Pick an option from a list that opens; what is not in it is typed, where that is allowed."""
    box = list_of(page, label).nth(place)
    found = page.get_by_role("option").filter(has_text=option).first
    for left in reversed(range(TRIES)):
        # A page that is drawn anew meanwhile closes the list.
        try:
            box.fill("")
            box.fill(option)
            found.click(timeout=OPENS if left else PATIENCE)
            break
        except Error:
            if not left:
                raise
    changed(page)
    expect(box).to_have_value(re.compile(re.escape(option)), timeout=PATIENCE)


def list_of(page: Page, label: str) -> Locator:
    """Not by its role: while one list is open, the others are hidden from who looks for roles."""
    return page.get_by_test_id("stMain").locator(f"input[role=combobox][aria-label='{label}']")


def address_of(name: str) -> str:
    """The address of the page whose file in `views/` is `name`."""
    return "" if name == "home" else ADDRESSES.get(name, name)


def open_experiment(page: Page, key: str) -> None:
    """From the list to the page of an experiment."""
    go_to(page, "experiments")
    follow(page, f"experiment={key}")
    expect(page).to_have_url(re.compile(rf"/result\?.*experiment={key}"), timeout=PATIENCE)


def show_section(page: Page, place: int, *, choice: str = "show") -> str:
    """Choose the section that stands at `place`; returns its name. choice: what the address calls the sections."""
    section = page.locator(f".st-key-{choice}").get_by_role("radio").nth(place)
    name = section.inner_text()
    if not section.is_checked():
        before = page.url
        section.click()
        # The run that draws the section writes the address: what has settled by then is that section.
        expect(page).not_to_have_url(before, timeout=PATIENCE)
    expect(section).to_be_checked(timeout=PATIENCE)
    settled(page)
    return name
