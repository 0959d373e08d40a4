from io import StringIO

from rich.console import Console

from analysis.inputs import Messages
from analysis.reports.report_text import PICTURE_WIDTH, interval_picture, render
from tests.unit.analysis.facts_of import SPEND, VISIT, arm, report, two, visits


def shown(thing, width=140):
    out = StringIO()
    Console(file=out, width=width, force_terminal=False).print(render(thing))
    return out.getvalue()


def test_numbers_and_reasons_are_shown():
    text = shown(report(two(100, 150), metrics=(VISIT, SPEND)))
    assert "ship b" in text
    assert "+0.05" in text
    assert "[0.02106, 0.07894]" in text
    assert "├" in text
    assert "cannot tell" in text
    assert "could not be computed" in text


def test_news_about_delivery_is_no_alarm():
    body = report(two(100, 150)).to_json()
    check = {
        "check": "srm",
        "stage": "clicked",
        "ok": False,
        "blocking": False,
        "p_value": 0.0,
        "detail": "news",
    }
    assert "  note  srm at clicked: news" in shown({**body, "health": [check]})
    assert "  alarm srm at clicked: news" in shown({**body, "health": [{**check, "blocking": True}]})
    assert "  ok    srm at clicked: news" in shown({**body, "health": [{**check, "ok": True}]})


def test_a_stored_report_is_shown_the_same():
    made = report(two(100, 150))
    assert shown(made) == shown(made.to_json())


def test_names_are_never_markup():
    arms = [
        arm("[red]a", control=True, aggregates=visits(1000, 90)),
        arm("b[/]", aggregates=visits(1000, 90)),
    ]
    text = shown(report(arms))
    assert "[red]a" in text
    assert "b[/]" in text


def test_the_funnel_is_shown_where_there_are_messages():
    arms = [
        arm("a", control=True, aggregates=visits(1000, 90)),
        arm("b", aggregates=visits(1000, 90), messages=Messages(accepted=987)),
    ]
    assert "987" in shown(report(arms))
    assert "accepted" not in shown(report(two(1, 2)))


def test_pictures_stay_inside_their_width():
    assert interval_picture(-1, 0, 1, low=-1, high=1, width=9) == "├───●───┤"
    assert interval_picture(0, 0, 0, low=0, high=0, width=5) == "··●··"
    assert len(interval_picture(-1e300, 0, 1e300, low=-1, high=1)) == PICTURE_WIDTH
