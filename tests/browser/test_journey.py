"""A marketer's way through the dashboard, in a real browser: from the sign-in to the winner. What is seen agrees with the API."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from api.demo.show import BEHAVIOUR
from dashboard.views.result import SECTIONS
from tests.browser.browsing import (
    PATIENCE,
    changed,
    choose,
    go_to,
    list_of,
    opened,
    pick,
    press,
    settled,
    show_section,
    sign_in,
    write,
)
from tests.browser.stage import Stage, installation, people_of

PEOPLE: Final = 1300
COUPON_WORKS: Final[dict[str, Any]] = BEHAVIOUR | {
    "templates": BEHAVIOUR["templates"]
    | {"spring_coupon": BEHAVIOUR["templates"]["spring_coupon"] | {"read": 0.9, "clicked": 0.6, "visit": 0.5}}
}
"""So well that a small audience shows it."""
KEY: Final = "win-them-back"
NAME: Final = "Win them back"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with installation(tmp_path_factory.mktemp("journey"), seconds=14) as found:
        yield found


def test_from_the_sign_in_to_the_winner(browser: Browser, stage: Stage) -> None:
    page = opened(browser, stage.dashboard)
    signed_in(page, stage)
    imported(page, stage)
    designed(page, stage)
    launched(page, stage)
    delivered(page, stage)
    shipped(page, stage)


def test_what_was_typed_last_is_kept_however_fast_the_page_is_left(browser: Browser, stage: Stage) -> None:
    page = opened(browser, stage.dashboard, has_touch=True)
    sign_in(page, stage.keys["write"])
    go_to(page, "new-campaign")
    # Nothing passes between the end of the typing and the press: a finger, then a button of the mouse that is not held.
    typed(page, "Name", "Typed last")
    touched(page, page.get_by_role("button", name="Next: Variants"))
    expect(page.get_by_text("How are the variants made?")).to_be_visible(timeout=PATIENCE)
    expect(page).to_have_url(re.compile(r"draft=new-"), timeout=PATIENCE)
    settled(page)
    key = re.search(r"draft=(new-\w+)", page.url)[1]  # type: ignore[index]
    assert document(stage, key)["name"] == "Typed last"
    choose(page, "Steps", "1. Audience")
    typed(page, "Coverage (%)", "50")
    touched(page, page.get_by_role("radio", name="5. Review and launch"))
    expect(page.get_by_role("button", name="Check it")).to_be_visible(timeout=PATIENCE)
    settled(page)
    assert document(stage, key)["audience"]["coverage"] == 0.5
    choose(page, "Steps", "1. Audience")
    typed(page, "Hypothesis", "It is read on the page that comes next")
    link = page.get_by_test_id("stSidebarNavLink").and_(page.locator("[href$='/planner']"))
    link.hover()
    page.mouse.down()
    # The run that brings it has begun, and is ended by the change of the page.
    page.wait_for_selector("[data-test-script-state=running]", state="attached", timeout=PATIENCE)
    page.mouse.up()
    expect(page.get_by_role("heading", name="Planner")).to_be_visible(timeout=PATIENCE)
    settled(page)
    assert document(stage, key)["hypothesis"].startswith("It is read")
    go_to(page, "new-campaign")
    expect(page.get_by_label("Hypothesis", exact=True)).to_have_value(
        re.compile("^It is read"), timeout=PATIENCE
    )
    # A finger says both in one moment; the page that was asked for stands, and is not called back by what was typed.
    typed(page, "Hypothesis", "Typed and left")
    touched(page, link)
    expect(page.get_by_role("heading", name="Planner")).to_be_visible(timeout=PATIENCE)
    changed(page)
    expect(page.get_by_role("heading", name="Planner")).to_be_visible()


def document(stage: Stage, key: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.call("GET", f"/v1/drafts/{key}")["document"]
    return found


def typed(page: Page, label: str, text: str) -> None:
    """Into a field that is not left."""
    page.get_by_label(label, exact=True).and_(page.locator("input, textarea")).fill(text)


def touched(page: Page, place: Locator) -> None:
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def signed_in(page: Page, stage: Stage) -> None:
    sign_in(page, "no-such-key-at-all", accepted=False)
    expect(page.get_by_test_id("stAlert")).to_contain_text("not accepted", timeout=PATIENCE)
    sign_in(page, stage.keys["write"])
    expect(page.get_by_role("heading", name="Home")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("editor")


def imported(page: Page, stage: Stage) -> None:
    crm = people_of(stage, PEOPLE, behaviour=COUPON_WORKS)
    head, rows = crm.read_text(encoding="utf-8").split("\n", 1)
    head = (
        head.replace("user_id", "customer")
        .replace("phone", "handset")
        .replace("consent_marketing", "newsletter")
    )
    go_to(page, "import")
    page.get_by_test_id("stFileUploader").locator("input[type=file]").set_input_files(
        {"name": "crm.csv", "mimeType": "text/csv", "buffer": f"{head}\n{rows}".encode()}
    )
    expect(page.get_by_role("heading", name="What each column means")).to_be_visible(timeout=PATIENCE)
    changed(page)
    pick(page, "User id", "customer")
    pick(page, "Phone number", "handset")
    pick(page, "Consent: Marketing", "newsletter")
    expect(page.get_by_test_id("stAlert").filter(has_text="newsletter")).to_be_visible(timeout=PATIENCE)
    press(page, "Bring them in")
    press(page, "Yes, bring them in")
    expect(page.get_by_text("Created", exact=True)).to_be_visible(timeout=PATIENCE)
    run = stage.call("GET", "/v1/imports")["items"][0]
    assert run["summary"]["created"] == PEOPLE, run
    expect(page.get_by_test_id("stMetric").filter(has_text="Created")).to_contain_text(f"{PEOPLE:,}")
    assert f"import={run['id']}" in page.url
    found = stage.call("POST", "/v1/segments/preview", json={"condition": {}})
    assert found["messageable"]["count"] > 0.8 * PEOPLE, found


def designed(page: Page, stage: Stage) -> None:
    go_to(page, "new-campaign")
    write(page, "Name", NAME)
    write(page, "Hypothesis", "A coupon brings back more of them than a reminder")
    audience(page, stage)
    press(page, "Next: Variants")
    variants(page)
    press(page, "Next: Metrics")
    pick(page, "Event", "Visited")
    write(page, "Name in the report", "visited")
    write(page, "Harm that is tolerated (percentage points)", "15")
    press(page, "Next: Plan")
    press(page, "Work out the plan")
    press(page, "Next: Review and launch")
    press(page, "Check it")
    expect(page.get_by_text("Templates are checked when it is stored")).to_be_visible(timeout=PATIENCE)


def audience(page: Page, stage: Stage) -> None:
    choose(page, "Who is it for?", "A condition")
    press(page, "Attribute")
    pick(page, "Attribute", "country")
    pick(page, "Comparison", "is none of")
    pick_many(page, "Values", "FR")
    condition = {"country": {"$nin": ["FR"]}}
    found = stage.call("POST", "/v1/segments/preview", json={"condition": condition})
    expect(page.get_by_text(f"{found['count']:,} users")).to_be_visible(timeout=PATIENCE)
    write(page, "Coverage (%)", "70")


def pick_many(page: Page, label: str, *options: str) -> None:
    box = list_of(page, label).first
    for option in options:
        box.fill(option)
        box.press("Enter")
        changed(page)
    box.press("Escape")


def variants(page: Page) -> None:
    choose(page, "How are the variants made?", "Crossed factors")
    for place, (level, template) in enumerate((("reminder", "spring_reminder"), ("coupon", "spring_coupon"))):
        write(page, "Level", level, place=place)
        pick(page, "Template", template, place=place)
        write(page, "Variable 1", "{{ user.first_name }}", place=place)
        write(page, "Where the link leads", "https://shop.example/spring", place=place)
    write(page, "Variable 2", "SPRING10")
    press(page, "Vary the send time")
    expect(page.get_by_role("heading", name="5 arms")).to_be_visible(timeout=PATIENCE)


def launched(page: Page, stage: Stage) -> None:
    press(page, "Launch ..")
    expect(page.get_by_role("heading", name=f"Start {NAME}?")).to_be_visible(timeout=PATIENCE)
    assert stage.call("GET", f"/v1/experiments/{KEY}")["status"] == "draft"
    press(page, "Yes, start it")
    expect(page.get_by_text(f"{KEY} is started")).to_be_visible(timeout=PATIENCE)
    assert stage.call("GET", f"/v1/experiments/{KEY}")["status"] == "running"


def delivered(page: Page, stage: Stage) -> None:
    """It is watched while it goes out, and when all has arrived."""
    stage.rehearsal.begin(KEY, window=timedelta(days=9))
    go_to(page, "delivery")
    row = page.get_by_test_id("stTable").get_by_role("row").filter(has_text=KEY)
    expect(row).to_contain_text("every one", timeout=PATIENCE)
    stage.rehearsal.run(lambda *_: None, every=0.2)
    books = stage.rehearsal.summary()
    assert books["funnel"]["delivered"] > PEOPLE / 3, books
    expect(row).to_contain_text(f"{books['funnel']['accepted']:,}", timeout=PATIENCE)
    go_to(page, "experiments")
    page.locator(f"a[href*='experiment={KEY}']").first.click()
    changed(page)
    show_section(page, SECTIONS.index("messages"))
    funnel = page.get_by_test_id("stTable").filter(has_text="coupon.morning").last
    expect(funnel).to_be_visible(timeout=PATIENCE)


def shipped(page: Page, stage: Stage) -> None:
    report = stage.rehearsal.report()
    assert report["decision"]["action"] == "ship", report["decision"]
    winner = report["decision"]["variant"]
    assert winner.startswith("coupon."), report["decision"]
    show_section(page, SECTIONS.index("result"))
    press(page, "Look now")
    expect(page.get_by_test_id("stMain")).to_contain_text(winner, timeout=PATIENCE)
    press(page, re.compile("Ship$"))
    expect(list_of(page, "Variant")).to_have_value(winner, timeout=PATIENCE)
    assert not stage.call("GET", f"/v1/experiments/{KEY}")["shipped"]
    press(page, "Yes, ship it")
    expect(page.get_by_text(f"{winner} is shipped to everybody who comes")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(f"shipped: {winner}", exact=True)).to_be_visible(timeout=PATIENCE)
    assert stage.call("GET", f"/v1/experiments/{KEY}")["shipped"] == winner
