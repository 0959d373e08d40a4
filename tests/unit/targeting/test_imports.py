"""The parts of an import that need no database: the memory of users seen, sums, options."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.clock import SteppedClock
from experiments.errors import Invalid
from targeting.imports.importing import ImportOptions, import_users
from targeting.imports.mapping import ImportMapping
from targeting.imports.seen import Seen
from targeting.imports.storing import ImportSummary


@given(st.lists(st.sets(st.integers(0, 60).map(str), max_size=30), max_size=12))
def test_seen_users_agree_with_a_plain_set(batches: list[set[str]]) -> None:
    seen, plain = Seen(), set[str]()
    for batch in batches:
        assert seen.add(batch) == batch & plain
        plain |= batch


def test_seen_users_stay_small() -> None:
    seen = Seen()
    for start in range(0, 200_000, 2_000):
        assert not seen.add({str(number) for number in range(start, start + 2_000)})
    assert len(seen._runs) < 20
    assert sum(run.nbytes for run in seen._runs) == 8 * 200_000


def test_summaries_add_up() -> None:
    one = ImportSummary(rows=3, created=1, rejected=2)
    assert one + one == ImportSummary(rows=6, created=2, rejected=4)
    assert one.to_json()["rejected"] == 2


class NoDatabase:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the database was asked: {name}")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"format": "xml"}, "format"),
        ({"batch": 0}, "batch"),
        ({"max_rows": 0}, "max_rows"),
        ({"default_region": "Holland"}, "default_region"),
        ({"file_name": ""}, "file_name"),
        ({"mapping": ImportMapping(consent_source="")}, "mapping.consent_source"),
        ({"mapping": ImportMapping(phone="fone")}, "mapping.phone"),
    ],
)
def test_wrong_options_are_told_before_the_database_is_asked(options: dict[str, Any], field: str) -> None:
    rejects = io.StringIO()
    with pytest.raises(Invalid) as error:
        import_users(
            NoDatabase(),
            SteppedClock(datetime(2026, 12, 1, tzinfo=UTC)),
            io.BytesIO(b"user_id,phone\nu1,\n"),
            actor="test",
            options=ImportOptions(**({"format": "csv"} | options)),
            rejects=rejects,
        )
    assert error.value.problems[0].field == field
    assert rejects.getvalue() == ""
