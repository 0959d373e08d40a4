"""The page of imports against the API itself: a file is looked at, mapped, tried, brought in and reported on; and its list."""

import csv
import io
import json
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.views.import_report import rejects_file
from tests.integration.dashboard.browsing import labels, open_page, press, seen, widget
from tests.integration.dashboard.conftest import Live

Open = Callable[[str], AppTest]
CRM = (
    b"Kundennr;phone;consent_marketing;Umsatz;Ort\n"
    b"1;+12025550101;ja;1.234,50;Delft\n"
    b"2;202 555 0102;nein;99,00;Bonn\n"
    b"3;12;ja;7,00;*Rom*\n"
    b"4;;;x;\n"
)


def upload(app: AppTest, content: bytes = CRM, name: str = "crm.csv", kind: str = "text/csv") -> AppTest:
    return app.get("file_uploader")[0].upload(name, content, kind).run()


def opened(open_dashboard: Open, scope: str = "write") -> AppTest:
    return open_page(open_dashboard(scope), "import_quality")


def choose(app: AppTest, label: str, column: str) -> AppTest:
    box = widget(app, "selectbox", label)
    return box.set_value(column).run()


def until_ended(app: AppTest, live: Live) -> str:
    """The page once the import that its address names has ended."""
    for _ in range(3000):
        if live.call("GET", "/v1/imports")["items"][0]["finished_at"] is not None:
            return seen(app.run())
        time.sleep(0.02)
    raise AssertionError(seen(app))


def test_before_a_file_the_page_says_what_is_taken_and_that_consent_is_needed(open_dashboard: Open) -> None:
    page = seen(opened(open_dashboard))
    assert "running the same file again changes nothing" in page
    assert "Nobody without it is ever messaged." in page
    app = opened(open_dashboard, "read")
    assert "Bringing people in needs an editor." in seen(app)
    assert not app.get("file_uploader")


def test_a_file_is_mapped_tried_and_brought_in(live: Live, open_dashboard: Open) -> None:
    app = upload(opened(open_dashboard))
    page = seen(app)
    assert widget(app, "selectbox", "Phone number").value == "phone"
    assert widget(app, "selectbox", "Consent: Marketing").value == "consent_marketing"
    assert "The column **consent_marketing** gives consent to **Marketing**" in page
    assert "Say which column is the user id" in page
    assert next(button for button in app.button if button.label == "Bring them in").disabled
    choose(app, "User id", "Kundennr")
    choose(app, "Country of numbers without a country code", "US")
    widget(app, "text_input", "Other words for yes").set_value("ja")
    widget(app, "text_input", "Other words for no").set_value("nein")
    widget(app, "multiselect", "Columns with a name or a type of their own").set_value(["Umsatz"]).run()
    widget(app, "text_input", "Attribute").set_value("revenue")
    widget(app, "selectbox", "Type").set_value("number").run()
    widget(app, "text_input", "Decimal sign").set_value(",")
    page = seen(press(app, "Try it"))
    assert "Of 4 rows: 2 new, 0 changed, 0 unchanged, 0 duplicates merged into others, 2 rejected." in page
    assert "phone: +12025550102; Marketing: no; Ort = Bonn; revenue = 99" in page
    assert "Consent: 1 given, 1 refused" in page
    assert live.call("GET", "/v1/users")["items"] == []
    widget(app, "text_input", "Other words for no").set_value("nee").run()
    assert "The mapping has changed since it was tried." in seen(app)
    assert "Of 4 rows" not in seen(app)
    widget(app, "text_input", "Other words for no").set_value("nein").run()
    source = widget(app, "text_input", "Where such files come from")
    source.set_value("CRM of Delft").run()
    press(app, "Bring them in")
    page = seen(app)
    assert "About 4 rows of crm.csv are read, and those that are in order come in." in page
    assert "The try let 2 of 4 rows through, and rejected 2." in page
    # What a try tells is long: the question stands above it, right below the button.
    order = [item.value for item in app.main if item.type in {"warning", "subheader"}]
    asked = next(i for i, words in enumerate(order) if "crm.csv are read" in words)
    assert asked < order.index("What would come of it")
    assert "Who has a yes counts as agreed to: Marketing." in seen(app)
    press(app, "Yes, bring them in")
    page = until_ended(app, live)
    assert {item.label: item.value for item in app.metric}["Created"] == "2"
    for words in ("Rejected rows", "Umsatz", "phone", "CRM of Delft", "by key:"):
        assert words in page
    [button] = [item.proto for item in app.get("download_button")]
    assert button.label == "Download the rejected rows"
    assert "import" in str(dict(app.query_params))
    assert live.call("GET", "/v1/imports")["items"][0]["source"] == "CRM of Delft"
    user = live.call("GET", "/v1/users/1")
    assert (user["attributes"], user["consents"][0]["granted"]) == ({"revenue": 1234.5, "Ort": "Delft"}, True)


def test_what_the_api_refuses_stands_at_the_column_that_it_names(live: Live, open_dashboard: Open) -> None:
    app = upload(opened(open_dashboard))
    choose(app, "User id", "Kundennr")
    widget(app, "multiselect", "Columns with a name or a type of their own").set_value(["Umsatz"]).run()
    widget(app, "selectbox", "Type").set_value("number").run()
    widget(app, "text_input", "Decimal sign").set_value("x").run()
    press(app, "Try it")
    assert [item.value for item in app.error] == ["Input should be '.' or ','"]
    widget(app, "text_input", "Decimal sign").set_value("").run()
    assert not app.error
    assert "Of 4 rows" in seen(press(app, "Try it"))


def test_countries_are_chosen_by_their_names(open_dashboard: Open) -> None:
    country = widget(upload(opened(open_dashboard)), "selectbox", "Country of numbers without a country code")
    assert {"none", "Netherlands (NL)", "Niger (NE)"} <= set(country.options)


def test_without_a_phone_column_it_is_said_that_nobody_new_can_be_messaged(
    live: Live, open_dashboard: Open
) -> None:
    app = upload(opened(open_dashboard), b"id,consent_marketing\nu1,yes\n")
    assert any("**No column is the phone number.**" in item.value for item in app.warning)
    choose(app, "User id", "id")
    assert "No column holds phone numbers" in seen(press(app, "Try it"))


def test_a_column_that_is_said_to_be_none_is_not_guessed_at_again(live: Live, open_dashboard: Open) -> None:
    app = upload(opened(open_dashboard), b"id,consent_marketing\nu1,yes\n")
    choose(app, "Consent: Marketing", "")
    assert "No column says who agreed to messages." in seen(app)
    press(app, "Bring them in")
    assert "Nobody gets consent by it." in seen(app)
    press(app, "Yes, bring them in")
    until_ended(app, live)
    user = live.call("GET", "/v1/users/u1")
    assert (user["consents"], user["attributes"]) == ([], {"consent_marketing": True} | user["attributes"])


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_formats_are_looked_at_alike(live: Live, open_dashboard: Open, form: str) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["a", "b"], "age": [1, 2]}), sink)
    lines = "\n".join(json.dumps({"user_id": name, "age": age}) for name, age in (("a", 1), ("b", 2)))
    content = sink.getvalue() if form == "parquet" else lines.encode()
    app = upload(opened(open_dashboard), content, f"people.{form}", "application/octet-stream")
    assert widget(app, "selectbox", "User id").value == "user_id"
    assert "Of 2 rows: 2 new" in seen(press(app, "Try it"))


def test_a_file_that_is_none_is_refused_in_the_words_of_the_api(open_dashboard: Open) -> None:
    app = upload(opened(open_dashboard), b"a,a\n1,2\n")
    assert "column 'a' is there twice" in app.error[0].value


def test_the_list_has_imports_of_one_source_and_pulls(live: Live, open_dashboard: Open) -> None:
    for source in ("crm", "shop"):
        live.call("POST", f"/v1/imports?source={source}", files={"file": ("people.csv", b"user_id\nu1\n")})
    page = seen(open_page(open_dashboard("read"), "data_quality"))
    assert ("**crm**" in page, "**shop**" in page) == (True, True)
    assert "No query of another database brings people in" in page
    page = seen(open_page(open_dashboard("read"), "data_quality", source="crm"))
    assert ("**crm**" in page, "**shop**" in page) == (True, False)


def test_chinese_is_spoken(live: Live, open_dashboard: Open) -> None:
    app = open_dashboard("write")
    widget(app, "selectbox", "Language").set_value("zh").run()
    app = upload(open_page(app, "import_quality"), b"user_id,consent_marketing\nu1,yes\n")
    assert "给出对“**营销**”的同意" in seen(app)
    assert {"导入", "试运行"} <= set(labels(app))


def test_rejected_rows_as_a_file_run_no_formula() -> None:
    content = rejects_file([{"line": 3, "field": "=A1", "reason": 'says "no", twice'}, {"line": 4}])
    assert list(csv.reader(io.StringIO(content.decode()))) == [
        ["line", "field", "reason"],
        ["3", "'=A1", 'says "no", twice'],
        ["4", "", ""],
    ]
