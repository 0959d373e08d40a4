"""Reports over HTTP: as a document, a page and a table; those that were kept; every effect over time."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from fastapi.testclient import TestClient

from analysis.reports.replay import replay
from api.wiring import Wiring
from experiments.clock import SteppedClock
from tests.integration.analysis_rows import DAY, HOUR
from tests.integration.looks import campaign, look_often
from tests.unit.analysis.pages import Page
from tests.unit.experiments.test_design import CAMPAIGN

LOOKS = 3
WRONG = [
    ("nobody/reports", 404, "key"),
    ("nobody/report/series", 404, "key"),
    ("nobody/report.html", 404, "key"),
    ("nobody/report.csv", 404, "key"),
    ("nobody/reports/1", 404, "key"),
    ("spring/reports/999", 404, "report_id"),
    ("spring/reports/0", 422, "report_id"),
    ("spring/reports/-1", 422, "report_id"),
    ("spring/reports/one", 422, "report_id"),
    ("spring/reports/1.5", 422, "report_id"),
    (f"spring/reports/{2**62}", 422, "report_id"),
    ("%00/reports", 422, "key"),
    ("spring/reports?cursor=!", 422, "cursor"),
    ("spring/reports?limit=501", 422, "limit"),
    ("spring/report/series?cursor=zzz", 422, "cursor"),
    ("spring/report/series?metric=%00", 422, "metric"),
    ("spring/report/series?variant=" + "x" * 201, 422, "variant"),
    ("spring/report/series?most=1", 422, "most"),
    ("nobody/report/series?most=2", 404, "key"),
    ("spring/report.html?max_age=-1", 422, "max_age"),
    ("spring/report.csv?max_age=many", 422, "max_age"),
    ("spring/report.html?theme=dark", 422, "theme"),
]


@pytest.fixture
def key(wiring: Wiring, clock: SteppedClock) -> str:
    """A campaign that was looked at LOOKS times, every two days; nobody is mature at the first."""
    name = campaign(wiring.database, clock, users=150)
    look_often(wiring.database, clock, name, looks=LOOKS, every=2 * DAY - HOUR)
    return name


def every_page(http: TestClient, path: str, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = http.get(path, params={"limit": 2, **params, **cursor}).json()
        assert len(page["items"]) <= 2
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def test_kept_reports_are_listed_and_each_replays(writer: TestClient, key: str) -> None:
    items = every_page(writer, f"/v1/experiments/{key}/reports")
    assert [item["id"] for item in items] == sorted((item["id"] for item in items), reverse=True)
    assert len(items) == LOOKS
    for item in items:
        document = writer.get(f"/v1/experiments/{key}/reports/{item['id']}").json()
        assert replay(document).same
        assert document["provenance"] == {
            "id": item["id"],
            "hashes": item["hashes"],
            "made_with": item["made_with"],
        }
        assert (document["as_of"], document["method"]) == (item["as_of"], item["method"])
        assert (document["decision"]["action"], document["decision"]["variant"]) == (
            item["action"],
            item["variant"],
        )
    newest = writer.get(f"/v1/experiments/{key}/report").json()
    assert newest["provenance"]["id"] == items[0]["id"]
    assert "inputs" not in newest


def test_the_series_says_what_each_report_said(writer: TestClient, key: str) -> None:
    looks = every_page(writer, f"/v1/experiments/{key}/report/series")
    assert [look["report"] for look in looks] == sorted(look["report"] for look in looks)
    assert len(looks) == LOOKS
    for look in looks:
        body = writer.get(f"/v1/experiments/{key}/reports/{look['report']}").json()
        said = [
            (
                metric["metric"],
                effect["variant"],
                (effect["absolute"] or {}).get("estimate"),
                (effect["absolute"] or {}).get("lower"),
                (effect["absolute"] or {}).get("upper"),
                effect["p_value"],
                next(arm["n"] for arm in metric["arms"] if arm["variant"] == effect["variant"]),
            )
            for metric in body["metrics"]
            for effect in metric["effects"]
        ]
        names = ("metric", "variant", "estimate", "lower", "upper", "p_value", "n")
        assert [tuple(point[name] for name in names) for point in look["effects"]] == said
        assert (look["as_of"], look["information"]) == (body["as_of"], body["information"])
    assert looks[0]["effects"][0]["estimate"] is None
    # For a picture: some of them, the first and the last among them.
    few = writer.get(f"/v1/experiments/{key}/report/series?most=2&metric=bought&variant=coupon").json()
    ends = [each["effects"] for each in (looks[0], looks[-1])]
    bought = [[p for p in effects if (p["metric"], p["variant"]) == ("bought", "coupon")] for effects in ends]
    assert ([look["effects"] for look in few["items"]], few["next_cursor"]) == (bought, None)
    assert looks[-1]["effects"][0]["estimate"] is not None

    path = f"/v1/experiments/{key}/report/series"
    looks = every_page(writer, path, metric="revenue", variant="coupon")
    assert {(e["metric"], e["variant"]) for look in looks for e in look["effects"]} == {("revenue", "coupon")}
    assert len(looks) == LOOKS
    assert {len(look["effects"]) for look in every_page(writer, path, metric="nothing")} == {0}


def test_the_page_holds_the_looks_before_it_and_the_table_a_row_for_each_metric_and_variant(
    writer: TestClient, key: str, clock: SteppedClock
) -> None:
    answer = writer.get(f"/v1/experiments/{key}/report.html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = Page(answer.text)
    newest = writer.get(f"/v1/experiments/{key}/report").json()
    assert newest["decision"]["because"] in page.text
    assert newest["provenance"]["hashes"]["report"] in page.text
    assert "bought over time" in page.text
    assert "Wake up customers who have gone quiet" in page.text

    answer = writer.get(f"/v1/experiments/{key}/report.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(StringIO(answer.text, newline="")))
    body = newest
    assert [(row["metric"], row["variant"]) for row in rows] == [
        (metric["metric"], arm["variant"]) for metric in body["metrics"] for arm in metric["arms"]
    ]
    assert float(rows[2]["estimate"]) == body["metrics"][0]["effects"][1]["absolute"]["estimate"]

    # Reading is no look; a page may be one.
    path = f"/v1/experiments/{key}"
    clock.advance(timedelta(hours=2))
    for reading in ("reports", "report/series", "report.html?max_age=86400", "report.csv?max_age=86400"):
        assert writer.get(f"{path}/{reading}").status_code == 200
    assert len(writer.get(f"{path}/reports").json()["items"]) == LOOKS
    assert writer.get(f"{path}/report.html").status_code == 200
    assert len(writer.get(f"{path}/reports").json()["items"]) == LOOKS + 1


def test_what_is_wrong_is_named(
    writer: TestClient, key: str, keys: dict[str, str], subtests: pytest.Subtests
) -> None:
    for path, status, field in WRONG:
        with subtests.test(path):
            answer = writer.get(f"/v1/experiments/{path}")
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    # A report of another experiment is not found under this one, nor any of a draft.
    assert writer.post("/v1/experiments", json={**CAMPAIGN, "key": "other"}).status_code == 201
    number = writer.get(f"/v1/experiments/{key}/reports").json()["items"][0]["id"]
    assert writer.get(f"/v1/experiments/other/reports/{number}").status_code == 404
    assert writer.get("/v1/experiments/other/reports").json() == {"items": [], "next_cursor": None}
    for form in ("report", "report.html", "report.csv"):
        assert writer.get(f"/v1/experiments/other/{form}").status_code == 409
    for form in ("report.html", "report.csv", "report/series", "reports", "reports/1"):
        path = f"/v1/experiments/{key}/{form}"
        assert writer.get(path, headers={"Authorization": "Bearer ts_x_y"}).status_code == 401
        assert writer.get(path, headers={"Authorization": f"Bearer {keys['ingest']}"}).status_code == 403
        assert writer.get(path, headers={"Authorization": f"Bearer {keys['read']}"}).status_code == 200
