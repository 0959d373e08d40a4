"""No page has a serious finding of axe, scrolls sideways on a phone, or needs a mouse."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

from dashboard.campaign.steps import STEPS
from dashboard.pages import NOT_IN_NAVIGATION, SECTIONS
from dashboard.views.result import SECTIONS as SECTIONS_OF_RESULT
from dashboard.views.user_detail import SECTIONS as SECTIONS_OF_USER
from tests.browser.browsing import (
    PATIENCE,
    PHONE,
    address_of,
    changed,
    follow,
    go_to,
    open_experiment,
    opened,
    press,
    settled,
    show_section,
    sign_in,
    write,
)
from tests.browser.stage import CAMPAIGN, DRAFT, RULE, SEGMENT, Stage

PAGES: Final = [name for names in SECTIONS.values() for name in names if name not in NOT_IN_NAVIGATION]
THINGS: Final = {
    "user": ("users", "user=", SECTIONS_OF_USER),
    "segment": ("segments", f"segment={SEGMENT}", ()),
    "rule": ("rules", f"rule={RULE}", ()),
    "import": ("data-quality", "import=", ()),
}
"""What has a view of its own: the address of the page that lists it, what the address of the view has in it, its sections."""
FRAME: Final = {
    # Streamlit's own navigation: the heading and the links of a section stand in a `div` between `ul` and `li`.
    "list": "[data-testid=stSidebarNav]",
    "listitem": "[data-testid=stSidebarNav]",
}
"""Findings in what Streamlit itself draws, which no code of ours can change: the rule, and within what."""
VIEWS: Final = 1 + len(STEPS) + len(PAGES) + len(THINGS) + len(SECTIONS_OF_USER) + len(SECTIONS_OF_RESULT)
"""With the sign-in."""
SERIOUS: Final = {"serious", "critical"}
MOVES: Final = (
    "document.getAnimations().filter(each => each.playState === 'running'"
    " && each.effect.getComputedTiming().endTime !== Infinity).length"
)
"""How many transitions are under way. What turns for ever is none of them, nor what has ended and keeps how it looks."""


def _is_frame(page: Page, rule: str, target: list[str]) -> bool:
    if rule not in FRAME:
        return False
    found = page.locator(target[-1]).first
    return bool(found.evaluate("(element, frame) => element.closest(frame) !== null", FRAME[rule]))


def still(page: Page) -> None:
    """Wait until nothing moves or fades any more: a person reads what stands."""
    page.wait_for_function(f"{MOVES} === 0", timeout=PATIENCE)


def findings(page: Page) -> list[str]:
    """What axe finds serious or worse on the page as it stands, but for `FRAME`."""
    still(page)
    answer: dict[str, Any] = Axe().run(page).response
    return [
        f"{rule['id']} ({rule['impact']}) {node['target']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in answer["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if not _is_frame(page, rule["id"], node["target"])
    ]


def too_wide(page: Page) -> int:
    """By how many pixels the body of the page, or what Streamlit scrolls in its place, is wider than it may be."""
    still(page)
    return int(
        page.evaluate(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]"
            ".map(each => each.scrollWidth - each.clientWidth))"
        )
    )


def every_page(page: Page) -> Iterator[str]:
    """Stand on every page of the navigation, one after the other."""
    for name in PAGES:
        go_to(page, address_of(name))
        yield name


def before_a_draft(browser: Browser, stage: Stage, **options: Any) -> Page:
    """The sign-in at the address of a draft, which outlives it."""
    return opened(browser, f"{stage.dashboard}/new-campaign?draft={DRAFT}", **options)


def every_view(page: Page, stage: Stage) -> Iterator[str]:
    """Before a draft: sign in as an admin, and stand on each of its steps, every page, everything that has a view of its own."""
    yield "sign in"
    sign_in(page, stage.keys["admin"])
    expect(page.locator("input[aria-label='Name']")).to_have_value("Hello, summer", timeout=PATIENCE)
    yield from every_section(page, "step", STEPS)
    yield from every_page(page)
    for thing, (address, link, sections) in THINGS.items():
        go_to(page, address)
        follow(page, link)
        yield thing
        yield from every_section(page, "show", sections)
    open_experiment(page, CAMPAIGN)
    # It would be drawn anew while it is looked at.
    page.get_by_test_id("stCheckbox").filter(has_text="Refresh").locator("label").click()
    changed(page)
    yield from every_section(page, "show", SECTIONS_OF_RESULT)


def every_section(page: Page, choice: str, sections: tuple[str, ...]) -> Iterator[str]:
    for place, section in enumerate(sections):
        yield f"{choice} {section}: {show_section(page, place, choice=choice)}"


def test_the_eyes_see(browser: Browser) -> None:
    """What the tests below look with finds what is wrong: without this, a page that was never drawn would pass them."""
    page = browser.new_context(**PHONE).new_page()
    page.set_content(
        "<html lang=en><title>Bad</title><meta name=viewport content='width=device-width'>"
        "<main data-testid=stMain style='overflow: auto'><h1>Bad</h1><p style='color: #bbb'>Pale</p>"
        "<input aria-label=Seen><button style='outline: none'></button>"
        "<div style='width: 450px'>Wide</div></main>"
    )
    assert {finding.split()[0] for finding in findings(page)} == {"color-contrast", "button-name"}
    assert too_wide(page) > 50
    for selector, shows in (("input", True), ("button", False)):
        page.locator(selector).focus()
        assert shows_focus(page, page.locator(selector)) is shows, selector
    page.context.close()


def test_every_page_of_a_filled_installation(browser: Browser, filled: Stage) -> None:
    page = before_a_draft(browser, filled)
    found = {name: findings(page) for name in every_view(page, filled)}
    assert len(found) == VIEWS
    assert not any(found.values()), {name: by for name, by in found.items() if by}


def test_every_page_of_an_empty_installation(browser: Browser, empty: Stage) -> None:
    page = opened(browser, empty.dashboard)
    sign_in(page, empty.keys["admin"])
    found = {name: findings(page) for name in every_page(page)}
    assert len(found) == len(PAGES)
    assert not any(found.values()), {name: by for name, by in found.items() if by}


def test_dark(browser: Browser, filled: Stage) -> None:
    page = opened(browser, filled.dashboard, color_scheme="dark")
    sign_in(page, filled.keys["admin"])
    found = {}
    for name in ("home", "new_campaign", "access"):
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
    page = before_a_draft(browser, filled, **PHONE)
    wide = {name: too_wide(page) for name in every_view(page, filled)}
    assert len(wide) == VIEWS
    assert not any(wide.values()), {name: by for name, by in wide.items() if by}


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
            assert shows_focus(page, target), f"nobody sees that {selector} has the focus"
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{most} times Tab do not lead to {selector}")


def shows_focus(page: Page, target: Locator) -> bool:
    """Whether it looks otherwise with the focus than without, or something close around it does; transitions at their end."""
    box = target.bounding_box()
    assert box is not None
    around: FloatRect = {
        "x": max(box["x"] - 6, 0),
        "y": max(box["y"] - 6, 0),
        "width": box["width"] + 12,
        "height": box["height"] + 12,
    }

    def looks() -> bytes:
        return page.screenshot(clip=around, animations="disabled", caret="hide")

    with_focus = looks()
    target.blur()
    without = looks()
    target.focus()
    return with_focus != without


def test_a_step_of_the_wizard_begins_at_its_top_and_stays_where_one_works(
    browser: Browser, empty: Stage
) -> None:
    page = opened(browser, empty.dashboard, viewport={"width": 1400, "height": 500})
    sign_in(page, empty.keys["write"])
    go_to(page, "new-campaign")
    write(page, "Name", "From top to bottom")
    press(page, "Next: Variants")
    main = page.get_by_test_id("stMain")
    assert main.evaluate("each => each.scrollTop") == 0
    main.evaluate("each => each.scrollTo(0, each.scrollHeight)")
    write(page, "Variant", "note", place=1)
    assert main.evaluate("each => each.scrollTop") > 0
