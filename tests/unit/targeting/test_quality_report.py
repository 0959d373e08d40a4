"""From rows to lights and sentences: what one import says, and what the next one says against it."""

import io
import json
from typing import Any

import numpy as np
import pytest

from targeting.imports.mapping import AttributeColumn, ImportMapping
from targeting.imports.quality import MAX_COLUMNS, RARE, FileProfile
from targeting.imports.quality_report import judge
from targeting.imports.rows import read_csv, read_jsonl
from targeting.imports.source import Reject


def profile_of(text: str, *, jsonl: bool = False, **mapping: Any) -> FileProfile:
    reader = read_jsonl if jsonl else read_csv
    table = reader(io.BytesIO(text.encode()), mapping=ImportMapping(**mapping), default_region="")
    profile = FileProfile(table.names, table.columns.meaning_of)
    rows = list(table.rows)
    for start in range(0, len(rows), 100):
        batch = rows[start : start + 100]
        profile.add(batch)
        profile.refuse([row for row in batch if isinstance(row, Reject)])
    return profile


def report_of(text: str, before: Any = None, **options: Any) -> dict[str, Any]:
    report = judge(profile_of(text, **options), repeated_users=0, before=before)
    # What is stored is what comes back.
    stored: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    return stored


def sentences(report: dict[str, Any], topic: str) -> list[tuple[str, str]]:
    return [
        (finding["light"], finding["sentence"]) for finding in report["findings"] if finding["topic"] == topic
    ]


def people(
    count: int, *, seed: int, mean: float = 50.0, sd: float = 10.0, nl: float = 0.6, missing: float = 0.1
) -> str:
    rng = np.random.default_rng(seed)
    lines = ["user_id,phone,country,age,score"]
    for number in range(count):
        country = "" if rng.random() < missing else rng.choice(["NL", "BR"], p=[nl, 1 - nl])
        lines.append(f"u{number},,{country},{rng.normal(mean, sd):.2f},{rng.poisson(3)}")
    return "\n".join(lines) + "\n"


def test_a_column_is_told_by_its_numbers() -> None:
    report = report_of("user_id,n,flag,note\n" + "".join(f"u{i},{i % 10},{i % 2 == 0},\n" for i in range(40)))
    user, n, flag, note = report["columns"]
    assert (user["distinct"], user["categories"], user["numbers"]) == (
        {"value": 40, "exact": True},
        None,
        None,
    )
    assert (n["share"], n["kinds"], n["distinct"]["value"]) == (1.0, {"number": 40}, 10)
    assert (n["numbers"]["mean"], n["numbers"]["min"], n["numbers"]["p50"], n["numbers"]["max"]) == (
        4.5,
        0,
        4,
        9,
    )
    assert flag["categories"] == {"rows": {"true": 20, "false": 20}, "rare": 0}
    assert (note["filled"], note["light"]) == (0, "look")
    assert ("look", "note is empty in every row.") in sentences(report, "completeness")


def test_a_clean_file_says_so_topic_by_topic() -> None:
    report = report_of("user_id,phone,consent_marketing\nu1,+12025550101,yes\nu2,+12025550102,no\n")
    assert report["light"] == "ok"
    assert {name: told["light"] for name, told in report["topics"].items()} == {
        "completeness": "ok",
        "validity": "ok",
        "duplicates": "ok",
        "types": "ok",
        "drift": None,
    }
    assert report["topics"]["drift"]["sentence"].startswith("Nothing to compare with")


def test_wrong_rows_are_counted_by_column_and_reason_without_their_values() -> None:
    lines = [f"u{i},+1202555{100 + i:04d},Europe/Berlin" for i in range(58)]
    lines += ["x1,secret,", "x2,+12025550199,Mars/Base", "x3,", ",+12025550198,"]
    report = report_of("user_id,phone,tz\n" + "\n".join(lines) + "\n")
    by_name = {column["name"]: column for column in report["columns"]}
    assert by_name["phone"]["reasons"] == {"contains letters; write digits only, such as +12025550123": 1}
    assert by_name["tz"]["reasons"] == {'"…" is not an IANA time zone such as Europe/Amsterdam': 1}
    assert by_name["user_id"]["invalid"] == 1
    assert report["row_reasons"] == {"has 2 cells, the header has 3": 1}
    assert (report["rows"], report["readable"]) == (62, 61)
    assert "secret" not in json.dumps(report)
    assert {light for light, _ in sentences(report, "validity")} == {"look"}
    assert ("look", "1 row (1.6 %) not taken as a whole: has 2 cells, the header has 3.") in sentences(
        report, "validity"
    )


def test_one_wrong_row_in_twenty_is_bad() -> None:
    rows = "".join(f"u{i},{'x' if i < 1 else '+12025550101'}\n" for i in range(20))
    assert sentences(report_of("user_id,phone\n" + rows), "validity")[0][0] == "bad"


def test_phones_of_several_users_are_duplicates_but_the_same_user_twice_is_not() -> None:
    text = "user_id,phone\n" + "".join(f"u{i},+12025550101\n" for i in (1, 1, 2, 3)) + "u4,+12025550102\n"
    report = report_of(text * 1)
    assert report["duplicates"]["phones"] == 2
    assert (
        "with a phone number that another user of the file has too" in sentences(report, "duplicates")[0][1]
    )


def test_shared_phones_are_found_across_batches() -> None:
    rows = "".join(f"u{i},+1202555{100 + i % 99:04d}\n" for i in range(297))
    assert report_of("user_id,phone\n" + rows)["duplicates"]["phones"] == 198


def test_mixed_kinds_deserve_a_look() -> None:
    report = report_of("user_id,size\n" + "".join(f"u{i},{i if i % 10 else 'large'}\n" for i in range(100)))
    assert sentences(report, "types") == [("look", "size is number, but text in 10 % of its values.")]


def test_a_declared_number_is_measured_as_one_and_a_wrong_cell_is_no_second_kind() -> None:
    rows = "".join(f'u{i},"{i},5"\n' for i in range(50)) + "x,many\n"
    report = report_of(
        "user_id,sum\n" + rows, attributes={"spent": AttributeColumn("sum", "number", decimal=",")}
    )
    total = report["columns"][1]
    assert (total["kinds"], total["filled"], total["invalid"]) == ({"number": 50}, 51, 1)
    assert total["numbers"]["max"] == 49.5
    assert sentences(report, "types") == []


def test_few_phones_deserve_a_look() -> None:
    report = report_of("user_id,phone,consent_marketing\nu1,+12025550101,yes\nu2,,\nu3,,\n")
    assert "Only 33 % of the people can be messaged" in sentences(report, "completeness")[0][1]


def test_rare_values_are_not_kept_by_name() -> None:
    names = ["Ann"] * (RARE - 1) + ["Bob"] * RARE
    report = report_of("user_id,name\n" + "".join(f"u{i},{name}\n" for i, name in enumerate(names)))
    assert report["columns"][1]["categories"] == {"rows": {"Bob": RARE}, "rare": RARE - 1}


def test_lists_and_objects_are_measured_too() -> None:
    report = report_of(
        '{"user_id": "a", "tags": ["x"], "more": {"b": 1}}\n{"user_id": "b", "tags": ["x"], "late": 1}\n',
        jsonl=True,
    )
    tags = next(column for column in report["columns"] if column["name"] == "tags")
    assert (tags["kinds"], tags["distinct"]["value"]) == ({"list": 2}, 1)


def test_more_columns_than_are_measured_are_said_to_be() -> None:
    names = [f"c{i}" for i in range(MAX_COLUMNS + 5)]
    report = report_of("user_id," + ",".join(names) + "\nu1," + ",".join("1" for _ in names) + "\n")
    assert (len(report["columns"]), report["columns_left_out"]) == (MAX_COLUMNS, 6)
    assert ("look", "There are more columns than are measured here.") in sentences(report, "completeness")


def test_the_same_people_again_have_not_drifted() -> None:
    for seed in range(5):
        before = report_of(people(1_500, seed=seed))
        now = report_of(people(1_500, seed=seed + 100), before)
        assert sentences(now, "drift") == []
        assert now["topics"]["drift"] == {"light": "ok", "sentence": "Much as it was last time."}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"missing": 0.5}, [("bad", "country is missing in 5")]),
        ({"nl": 0.2}, [("bad", "country is made up differently (stability index 0.")]),
        (
            {"mean": 56.0},
            [("bad", "The mean of age is 5"), ("bad", "The values of age are spread differently")],
        ),
        (
            {"sd": 20.0},
            [("bad", "The spread of age is 2"), ("bad", "The values of age are spread differently")],
        ),
    ],
)
def test_each_kind_of_drift_is_found_and_only_that(
    changes: dict[str, float], found: list[tuple[str, str]]
) -> None:
    before = report_of(people(1_500, seed=1))
    now = sentences(report_of(people(1_500, seed=2, **changes), before), "drift")
    assert len(now) == len(found)
    for (light, sentence), (expected, beginning) in zip(now, found, strict=True):
        assert light == expected
        assert sentence.startswith(beginning)


def test_columns_that_come_and_go_and_rows_that_go() -> None:
    before = report_of("user_id,a,b\n" + "".join(f"u{i},1,{'' if i else 2}\n" for i in range(100)))
    now = report_of("user_id,c\n" + "".join(f"u{i},1\n" for i in range(9)), before)
    assert sorted(sentences(now, "drift")) == [
        ("bad", "9 rows now, 100 before."),
        ("bad", "a is gone; it was there before."),
        ("look", "b is gone; it was there before."),
        ("look", "c is a new column."),
    ]
    part = judge(profile_of("user_id,a,b\nu1,1,2\n"), repeated_users=0, before=before, part_of_source=True)
    assert "1 rows now, 100 before." not in json.dumps(part)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("country", "; name one with --map consent.marketing=COLUMN."),
        ("newsletter", "; newsletter looks like it: --map consent.marketing=newsletter."),
        ("Opt-In", "; Opt-In looks like it: --map consent.marketing=Opt-In."),
        ("is subscribed", "; is subscribed looks like it: --map 'consent.marketing=is subscribed'."),
        ("consent,optin,marketing,gdpr", "; consent, optin, marketing, .. look like it: --map consent.marketing=consent."),
        ("unsubscribed,newsletter_opt_out", "; name one with --map consent.marketing=COLUMN."),
    ],
)  # fmt: skip
def test_a_file_without_consent_is_told_with_the_column_that_may_be_it(columns: str, told: str) -> None:
    cells = ",".join("yes" for _ in columns.split(","))
    report = report_of(f"user_id,phone,{columns}\nu1,+12025550101,{cells}\n")
    said = (
        "No column says who agreed to messages, so nobody of these can be messaged unless they agreed before"
    )
    assert sentences(report, "completeness") == [("look", said + told)]
    assert report["topics"]["completeness"]["light"] == "look"


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        ("consent_marketing", {}),
        ("utility_opt_in", {}),
        ("newsletter", {"consent": {"marketing": "newsletter"}}),
    ],
)
def test_a_file_with_consent_is_not_asked_for_it(columns: str, mapping: dict[str, Any]) -> None:
    assert (
        sentences(report_of(f"user_id,phone,{columns}\nu1,+12025550101,no\n", **mapping), "completeness")
        == []
    )


def test_consent_in_a_column_that_is_not_measured_counts() -> None:
    many = ",".join(f"c{number}" for number in range(MAX_COLUMNS))
    report = report_of(f"user_id,{many},consent_marketing\nu1,{'1,' * MAX_COLUMNS}yes\n")
    assert "agreed" not in str(sentences(report, "completeness"))


@pytest.mark.parametrize(
    ("user_id", "is_number"),
    [("+31612345678", True), ("31612345678", True), ("0612345678", True), ("u1", False), ("345678", False)],
)
def test_an_id_that_is_the_phone_number_of_its_owner_is_told(user_id: str, is_number: bool) -> None:
    report = report_of(f"user_id,phone,consent_marketing\n{user_id},+31612345678,yes\nb,+31612345679,yes\n")
    told = sentences(report, "validity")
    assert [light for light, _ in told] == (["look"] if is_number else [])
    assert all(sentence.startswith("1 row (50 %) with a user id that is") for _, sentence in told)


@pytest.mark.parametrize("columns", ["telephone_model", "consent_marketing"])
def test_a_file_without_numbers_deserves_a_look(columns: str) -> None:
    report = report_of(f"user_id,{columns}\nu1,yes\n")
    assert any(
        words.startswith("No column holds phone numbers") for _, words in sentences(report, "completeness")
    )
    assert report["topics"]["completeness"]["light"] == "look"


def test_numbers_in_a_column_that_is_not_measured_count() -> None:
    many = ",".join(f"c{number}" for number in range(MAX_COLUMNS))
    report = report_of(f"user_id,{many},phone\nu1,{'1,' * MAX_COLUMNS}+12025550101\n")
    assert "phone numbers" not in str(sentences(report, "completeness"))
