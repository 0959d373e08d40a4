"""What a person does in the browser, and what they see there. Every wait has an end; none is a pause."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE: Final = 60_000
"""Milliseconds. A busy machine takes long; what never comes ends the test all the same."""
DESKTOP: Final[ViewportSize] = {"width": 1400, "height": 1000}
PHONE: Final[ViewportSize] = {"width": 400, "height": 800}


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


def sign_in(page: Page, key: str) -> None:
    page.locator("input[type=password]").fill(key)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(page.get_by_test_id("stSidebarNav")).to_be_attached(timeout=PATIENCE)
    settled(page)


def settled(page: Page) -> None:
    """Wait until the page stands: the script has run, nothing on it is of an earlier run, no spinner turns."""
    app = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(app).to_be_attached(timeout=PATIENCE)
    expect(page.locator("[data-stale=true], [data-testid=stSpinner]")).to_have_count(0, timeout=PATIENCE)


def go_to(page: Page, address: str) -> None:
    """Follow the navigation to the page with this address."""
    if page.get_by_test_id("stSidebar").get_attribute("data-collapsed") == "true":
        page.get_by_test_id("stExpandSidebarButton").click()
    link = page.get_by_test_id("stSidebarNavLink").and_(page.locator(f"[href$='/{address}']"))
    link.first.click()
    expect(page).to_have_url(re.compile(rf"/{address}(\?.*)?$"), timeout=PATIENCE)
    settled(page)


def field(page: Page | Locator, label: str) -> Locator:
    """The input with exactly this label."""
    return page.get_by_label(label, exact=True).and_(page.locator("input, textarea"))


def press(page: Page, name: str) -> None:
    """Press the button that reads so."""
    page.get_by_role("button", name=name).and_(page.locator(":visible")).first.click()
    settled(page)
