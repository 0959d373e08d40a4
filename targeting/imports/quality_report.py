"""The quality of an import as lights and sentences: what is missing, wrong, twice, mixed, or not as it was last time. Pure.

Thresholds of drift and their sources are in `quality_drift.py`. Those of one file by itself are our own: any wrong row
deserves a look, one in twenty is bad; a column that is never filled deserves a look.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from targeting.imports.mapping import simple_name
from targeting.imports.quality import ColumnProfile, FileProfile
from targeting.imports.quality_drift import (
    Light,
    category_shares,
    mean_shift,
    rows_light,
    share_light,
    stability,
    variance_ratio,
    worst,
)

BAD_SHARE: Final = 0.05
FEW_PHONES: Final = 0.5
_LIKE_CONSENT: Final = re.compile(
    r"(^|_)(consent(ed)?|newsletter|opt_?in|opted_in|subscri(bed|ber|ption)|marketing|agreed|permission|gdpr)(_|$)"
)
_LIKE_REFUSAL: Final = re.compile(r"(^|_)(opt_?out|opted_out|unsubscribed?|no|not)(_|$)")
_NAMED: Final = 3
_NO_PHONE: Final = "No column holds phone numbers, so nobody of these can be messaged who had none before; name one with --map phone=COLUMN."
TOPICS: Final = {
    "completeness": "No column is empty.",
    "validity": "Every row could be taken.",
    "duplicates": "Nobody comes twice, and no phone number has two owners.",
    "types": "Every column holds one kind of values.",
    "drift": "Much as it was last time.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about an import. `column` is empty for the file as a whole."""

    topic: str
    column: str
    light: Light
    sentence: str


def judge(
    profile: FileProfile,
    *,
    repeated_users: int,
    before: Mapping[str, Any] | None = None,
    part_of_source: bool = False,
) -> dict[str, Any]:
    """The report as JSON: `light`, `topics`, `findings`, and the `columns`, which the next import is compared with.

    `before` is the report of the last successful import of the same source; `part_of_source` says that this one brings
    only what is new, so that its number of rows means nothing.
    """
    findings = [*_own(profile, repeated_users)]
    if before is not None:
        findings += _drift(profile, before, compare_rows=not part_of_source)
    columns = []
    for column in profile.columns.values():
        mine = [finding.light for finding in findings if finding.column == column.name]
        columns.append(column.to_json(profile.readable) | {"light": worst(mine)})
    return {
        "light": worst([finding.light for finding in findings]),
        "rows": profile.rows,
        "readable": profile.readable,
        "topics": {topic: _topic(topic, findings, compared=before is not None) for topic in TOPICS},
        "findings": [asdict(finding) for finding in sorted(findings, key=lambda item: -item.light.rank)],
        "columns": columns,
        "columns_left_out": len(profile.left_out),
        "row_reasons": dict(profile.row_reasons.most_common()),
        "duplicates": {"users": repeated_users, "phones": profile.shared_phones},
    }


def _topic(topic: str, findings: list[Finding], *, compared: bool) -> dict[str, Any]:
    if topic == "drift" and not compared:
        return {"light": None, "sentence": "Nothing to compare with: no import of this source came before."}
    mine = sorted((item for item in findings if item.topic == topic), key=lambda item: -item.light.rank)
    if not mine:
        return {"light": Light.OK, "sentence": TOPICS[topic]}
    more = f" There are {len(mine) - 1} more findings." if len(mine) > 2 else ""
    more = " There is one more finding." if len(mine) == 2 else more
    return {"light": mine[0].light, "sentence": mine[0].sentence + more}


def _own(profile: FileProfile, repeated_users: int) -> list[Finding]:
    findings: list[Finding] = []
    rows = profile.rows

    def wrong(topic: str, column: str, amount: int, sentence: str) -> None:
        if amount:
            light = Light.BAD if amount >= BAD_SHARE * rows else Light.LOOK
            findings.append(Finding(topic, column, light, f"{_part(amount, rows)} {sentence}"))

    if rows and not profile.says_phone:
        findings.append(Finding("completeness", "", Light.LOOK, _NO_PHONE))
    if rows and not profile.says_consent:
        findings.append(Finding("completeness", "", Light.LOOK, _nobody_agreed(profile)))
    for column in profile.columns.values():
        if not column.filled and rows:
            findings.append(
                Finding("completeness", column.name, Light.LOOK, f"{column.name} is empty in every row.")
            )
        elif column.meaning == "phone" and column.filled < FEW_PHONES * profile.readable:
            share = _percent(column.filled / profile.readable)
            findings.append(
                Finding(
                    "completeness",
                    column.name,
                    Light.LOOK,
                    f"Only {share} of the people can be messaged: {column.name} is empty for the others.",
                )
            )
        wrong("validity", column.name, column.reasons.total(), f"{_why(column.name, column.reasons)}")
        findings += _types(column)
    wrong("validity", "", profile.row_reasons.total(), _why("", profile.row_reasons))
    if profile.ids_that_are_phones:
        findings.append(
            Finding(
                "validity",
                "",
                Light.LOOK,
                f"{_part(profile.ids_that_are_phones, rows)} with a user id that is the person's phone number: whoever may read sees "
                "ids, and no numbers otherwise. Give people ids of their own.",
            )
        )
    wrong("duplicates", "", repeated_users, "with a user that came before in the same file.")
    wrong(
        "duplicates", "", profile.shared_phones, "with a phone number that another user of the file has too."
    )
    if profile.left_out:
        findings.append(
            Finding("completeness", "", Light.LOOK, "There are more columns than are measured here.")
        )
    return findings


def _nobody_agreed(profile: FileProfile) -> str:
    """That consent is missing, and the option that says which column holds it."""
    said = (
        "No column says who agreed to messages, so nobody of these can be messaged unless they agreed before"
    )
    simple = {name: simple_name(name) for name in profile.columns}
    alike = [
        name for name, text in simple.items() if _LIKE_CONSENT.search(text) and not _LIKE_REFUSAL.search(text)
    ]
    if not alike:
        return f"{said}; name one with --map consent.marketing=COLUMN."
    verb = "looks" if len(alike) == 1 else "look"
    named = ", ".join(alike[:_NAMED]) + (", .." if len(alike) > _NAMED else "")
    option = f"consent.marketing={alike[0]}"
    return f"{said}; {named} {verb} like it: --map {shlex.quote(option)}."


def _why(column: str, reasons: Mapping[str, int]) -> str:
    if not reasons:
        return ""
    reason = max(reasons, key=lambda text: reasons[text])
    where = f"for {column}" if column else "as a whole"
    others = " (and for other reasons)" if len(reasons) > 1 else ""
    return f"not taken {where}: {reason}{others}."


def _types(column: ColumnProfile) -> list[Finding]:
    if len(column.kinds) < 2:
        return []
    (usual, _), *others = column.kinds.most_common()
    amount = sum(count for _, count in others)
    odd = " and ".join(kind for kind, _ in others)
    return [
        Finding(
            "types",
            column.name,
            Light.LOOK,
            f"{column.name} is {usual}, but {odd} in {_percent(amount / column.kinds.total())} of its values.",
        )
    ]


def _drift(profile: FileProfile, before: Mapping[str, Any], *, compare_rows: bool) -> list[Finding]:
    findings: list[Finding] = []

    def tell(column: str, light: Light, sentence: str) -> None:
        if light is not Light.OK:
            findings.append(Finding("drift", column, light, sentence))

    if compare_rows:
        tell(
            "", rows_light(before["rows"], profile.rows), f"{profile.rows} rows now, {before['rows']} before."
        )
    columns_before = {column["name"]: column for column in before["columns"]}
    for name, column in profile.columns.items():
        was = columns_before.get(name)
        if was is None:
            if not before["columns_left_out"]:
                tell(name, Light.LOOK, f"{name} is a new column.")
            continue
        _compare(column, profile.readable, was, before["readable"], tell)
    for name, was in columns_before.items():
        if name not in profile.columns and not profile.left_out:
            sparse = was["filled"] < BAD_SHARE * before["readable"]
            tell(name, Light.LOOK if sparse else Light.BAD, f"{name} is gone; it was there before.")
    return findings


def _compare(
    column: ColumnProfile,
    rows: int,
    was: Mapping[str, Any],
    rows_before: int,
    tell: Callable[[str, Light, str], None],
) -> None:
    name = column.name
    share, share_before = column.filled / max(rows, 1), was["filled"] / max(rows_before, 1)
    tell(
        name,
        share_light(share_before, rows_before, share, rows),
        f"{name} is missing in {_percent(1 - share)} of the rows, before in {_percent(1 - share_before)}.",
    )
    if column.numbers.count and was["numbers"]:
        _compare_numbers(column, was["numbers"], tell)
        return
    counted, counted_before = column.to_json(rows)["categories"], was["categories"]
    if counted and counted_before:
        names, p, q, n_before, n = category_shares(
            counted_before["rows"], counted_before["rare"], counted["rows"], counted["rare"]
        )
        index, light = stability(p, n_before, q, n)
        moved = max(range(len(p)), key=lambda at: abs(p[at] - q[at]), default=0)
        most = repr(names[moved]) if moved < len(names) else "rare values"
        tell(
            name,
            light,
            f"{name} is made up differently (stability index {index:.2f}): {most} {_percent(q[moved])}, before {_percent(p[moved])}.",
        )


def _compare_numbers(
    column: ColumnProfile, was: Mapping[str, Any], tell: Callable[[str, Light, str], None]
) -> None:
    name, numbers = column.name, column.numbers
    now_all = (numbers.mean, numbers.sd or 0.0, numbers.count)
    before_all = (was["mean"], was["sd"] or 0.0, was["count"])
    shift, light = mean_shift(before_all, now_all)
    size = "it never varied before" if shift is None else f"{abs(shift):.1f} standard deviations"
    tell(name, light, f"The mean of {name} is {numbers.mean:.6g}, before {was['mean']:.6g} ({size}).")
    ratio, light = variance_ratio(before_all, now_all)
    spread = "from or to none at all" if ratio is None else f"{ratio:.2f} times the variance"
    tell(
        name,
        light,
        f"The spread of {name} is {numbers.sd or 0:.6g}, before {was['sd'] or 0:.6g} ({spread}).",
    )
    cells = was["cells"]
    if cells:
        up_to = [share for _, share in cells]
        before = [high - low for low, high in zip([0.0, *up_to], [*up_to, 1.0], strict=True)]
        now = numbers.shares([edge for edge, _ in cells])
        index, light = stability(before, was["count"], now, numbers.count)
        tell(name, light, f"The values of {name} are spread differently (stability index {index:.2f}).")


def _part(amount: int, rows: int) -> str:
    words = "row" if amount == 1 else "rows"
    return f"{amount} {words} ({_percent(amount / rows)})"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"
