"""No page has a serious finding of axe, scrolls sideways on a phone, or needs a mouse."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from dashboard.pages import NOT_IN_NAVIGATION, SECTIONS
from tests.browser.browsing import (
    PATIENCE,
    PHONE,
    address_of,
    go_to,
    open_experiment,
    opened,
    settled,
    show_section,
    sign_in,
)
from tests.browser.stage import CAMPAIGN, Stage

PAGES = [name for names in SECTIONS.values() for name in names if name not in NOT_IN_NAVIGATION]
SECTIONS_OF_RESULT = 9
FRAME = {
    # Streamlit's own navigation: the heading and the links of a section stand in a `div` between `ul` and `li`.
    "list": "[data-testid=stSidebarNav]",
    "listitem": "[data-testid=stSidebarNav]",
}
"""Findings in what Streamlit itself draws, which no code of ours can change: the rule, and within what."""
SERIOUS = {"serious", "critical"}


def _is_frame(page: Page, rule: str, target: list[str]) -> bool:
    if rule not in FRAME:
        return False
    found = page.locator(target[-1]).first
    return bool(found.evaluate("(element, frame) => element.closest(frame) !== null", FRAME[rule]))


def findings(page: Page) -> list[str]:
    """What axe finds serious or worse on the page as it stands, but for `FRAME`."""
    answer: dict[str, Any] = Axe().run(page).response
    return [
        f"{rule['id']} ({rule['impact']}) {node['target']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in answer["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if not _is_frame(page, rule["id"], node["target"])
    ]


def walk(page: Page, key: str) -> Iterator[str]:
    """Sign in and stand on every page of the navigation, one after the other."""
    sign_in(page, key)
    for name in PAGES:
        go_to(page, address_of(name))
        yield name


def sections_of_result(page: Page, experiment: str) -> Iterator[str]:
    """Stand on every section of an experiment's page, one after the other."""
    open_experiment(page, experiment)
    for place in range(SECTIONS_OF_RESULT):
        yield f"result: {show_section(page, place)}"


def test_every_page_of_a_filled_installation(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard)
    found = {"sign in": findings(page)}
    found |= {name: findings(page) for name in walk(page, filled.keys["admin"])}
    found |= {name: findings(page) for name in sections_of_result(page, CAMPAIGN)}
    assert len(found) == 1 + len(PAGES) + SECTIONS_OF_RESULT
    assert not any(found.values()), found


def test_every_page_of_an_empty_installation(browser: Browser, empty: Stage) -> None:
    page = opened(browser, empty.dashboard)
    found = {name: findings(page) for name in walk(page, empty.keys["admin"])}
    assert len(found) == len(PAGES)
    assert not any(found.values()), found


def test_dark(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard, color_scheme="dark")
    sign_in(page, filled.keys["write"])
    found = {}
    for name in ("home", "new_campaign"):
        go_to(page, address_of(name))
        found[name] = findings(page)
    open_experiment(page, CAMPAIGN)
    found["result"] = findings(page)
    assert not any(found.values()), found


def test_chinese(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard, locale="zh-CN")
    sign_in(page, filled.keys["read"])
    expect(page.get_by_role("heading", name="首页")).to_be_visible(timeout=PATIENCE)
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert not findings(page)


def test_no_page_scrolls_sideways_on_a_phone(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard, viewport=PHONE)
    wide = {"sign in": too_wide(page)}
    wide |= {name: too_wide(page) for name in walk(page, filled.keys["admin"])}
    wide |= {name: too_wide(page) for name in sections_of_result(page, CAMPAIGN)}
    assert not any(wide.values()), {name: by for name, by in wide.items() if by}


def too_wide(page: Page) -> int:
    """By how many pixels the body of the page, or what Streamlit scrolls in its place, is wider than it may be."""
    return int(
        page.evaluate(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]"
            ".map(each => each.scrollWidth - each.clientWidth))"
        )
    )


def test_the_way_through_needs_no_mouse(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard)
    tab_to(page, "input[type=password]")
    page.keyboard.type(filled.keys["write"])
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stSidebarNav")).to_be_attached(timeout=PATIENCE)
    settled(page)
    tab_to(page, "a[href$='/new-campaign']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New campaign")).to_be_visible(timeout=PATIENCE)
    settled(page)
    tab_to(page, "input[aria-label='Name']")
    page.keyboard.type("By hand")
    tab_to(page, ".st-key-campaign_on button")
    page.keyboard.press("Enter")
    expect(page.get_by_text("What is compared: content")).to_be_visible(timeout=PATIENCE)
    open_experiment(page, CAMPAIGN)
    tab_to(page, f"[class*='st-key-pause-{CAMPAIGN}'] button")
    page.keyboard.press("Enter")
    question = page.get_by_test_id("stAlert").filter(has_text="Pause")
    expect(question).to_be_visible(timeout=PATIENCE)
    settled(page)
    tab_to(page, "button:has-text('No')")


def tab_to(page: Page, selector: str, *, most: int = 150) -> None:
    """Press Tab until the element has the focus, and see that the focus shows."""
    target = page.locator(selector).first
    expect(target).to_be_visible(timeout=PATIENCE)
    for _ in range(most):
        if target.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{most} times Tab do not lead to {selector}")
