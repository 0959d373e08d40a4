"""How far one import is from the one before it: differences with their usual thresholds, and whether they are more than noise.

A difference counts only when it is both large by a published convention and larger than chance makes it: of two
imports of the same people by the same hand, about one comparison in a thousand is called a difference. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

MIN_ROWS: Final = 100
"""With fewer values on either side, means, spreads and categories are not compared."""
_SIGMAS: Final = 3.29
"""Two-sided p of 0.001 under the normal distribution."""
_ONE_SIDED: Final = 3.09


class Light(StrEnum):
    OK = "ok"
    LOOK = "look"
    BAD = "bad"

    @property
    def rank(self) -> int:
        return list(Light).index(self)


def worst(lights: Sequence[Light]) -> Light:
    """The most alarming of these; ok when there are none."""
    return max(lights, key=lambda light: light.rank, default=Light.OK)


def graded(value: float, look: float, bad: float) -> Light:
    """The light of a size of difference."""
    return Light.BAD if value >= bad else Light.LOOK if value >= look else Light.OK


def share_light(before: float, rows_before: int, now: float, rows_now: int) -> Light:
    """Two shares by Cohen's h = 2 asin(sqrt(p1)) - 2 asin(sqrt(p2)): 0.2 is small, 0.5 medium (Cohen, 1988, ch. 6).

    The standard error of h is sqrt(1/n1 + 1/n2), whatever the shares.
    """
    if not rows_before or not rows_now:
        return Light.OK
    h = abs(2 * math.asin(math.sqrt(before)) - 2 * math.asin(math.sqrt(now)))
    if h < _SIGMAS * math.sqrt(1 / rows_before + 1 / rows_now):
        return Light.OK
    return graded(h, 0.2, 0.5)


def mean_shift(before: tuple[float, float, int], now: tuple[float, float, int]) -> tuple[float | None, Light]:
    """How many standard deviations (of before) the mean has moved: 0.2 is small, 0.5 medium (Cohen, 1988, ch. 2).

    Both sides: mean, standard deviation, count. None when there was no spread before: then any move is bad.
    """
    (mean_0, sd_0, n_0), (mean_1, sd_1, n_1) = before, now
    if min(n_0, n_1) < MIN_ROWS or mean_0 == mean_1:
        return 0.0, Light.OK
    if sd_0 == 0:
        return None, Light.BAD
    if abs(mean_1 - mean_0) < _SIGMAS * math.sqrt(sd_0**2 / n_0 + sd_1**2 / n_1):
        return (mean_1 - mean_0) / sd_0, Light.OK
    shift = (mean_1 - mean_0) / sd_0
    return shift, graded(abs(shift), 0.2, 0.5)


def variance_ratio(
    before: tuple[float, float, int], now: tuple[float, float, int]
) -> tuple[float | None, Light]:
    """Variance now by variance before: of concern outside 4/5 .. 5/4, bad outside 1/2 .. 2 (Rubin, 2001, on matched samples).

    The logarithm of the ratio has a standard error of about sqrt(2/n1 + 2/n2) for bell-shaped values.
    """
    (_, sd_0, n_0), (_, sd_1, n_1) = before, now
    if min(n_0, n_1) < MIN_ROWS or sd_0 == sd_1:
        return 1.0, Light.OK
    if sd_0 == 0 or sd_1 == 0:
        return None, Light.BAD
    size = abs(2 * math.log(sd_1 / sd_0))
    if size < _SIGMAS * math.sqrt(2 / n_0 + 2 / n_1):
        return (sd_1 / sd_0) ** 2, Light.OK
    return (sd_1 / sd_0) ** 2, graded(size, math.log(5 / 4), math.log(2))


def stability(
    before: Sequence[float], n_before: int, now: Sequence[float], n_now: int
) -> tuple[float, Light]:
    """Population stability index of two sets of shares over the same cells: sum of (p - q) ln(p / q).

    0.1 is the usual threshold for a look, 0.25 for a changed population (Siddiqi, Credit Risk Scorecards, 2006). Without any
    change the index is about (1/n + 1/m) chi-square(cells - 1) (Yurdakul and Naranjo, 2020), which small imports exceed
    by chance; so it must also be beyond the 99.9 % point of that. Half a row is added to every cell, so that none is empty.
    """
    cells = len(before)
    if min(n_before, n_now) < MIN_ROWS or cells < 2:
        return 0.0, Light.OK
    index = 0.0
    for share_0, share_1 in zip(before, now, strict=True):
        p = (share_0 * n_before + 0.5) / (n_before + 0.5 * cells)
        q = (share_1 * n_now + 0.5) / (n_now + 0.5 * cells)
        index += (q - p) * math.log(q / p)
    if index < (1 / n_before + 1 / n_now) * _chi_square_999(cells - 1):
        return index, Light.OK
    return index, graded(index, 0.1, 0.25)


def _chi_square_999(degrees: int) -> float:
    """The 99.9 % point of a chi-square distribution (Wilson and Hilferty, 1931; right to 2 %)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + _ONE_SIDED * math.sqrt(spread)) ** 3


def category_shares(
    before: Mapping[str, int], rare_before: int, now: Mapping[str, int], rare_now: int
) -> tuple[list[str], list[float], list[float], int, int]:
    """Two counts of categories over the same cells: (names, shares before, shares now, rows before, rows now).

    A value that only one side names was rare, or absent, on the other; what is rare is one cell, the last.
    """
    names = sorted({*before, *now})
    n_0, n_1 = sum(before.values()) + rare_before, sum(now.values()) + rare_now
    counts_0 = [*(before.get(name, 0) for name in names), rare_before]
    counts_1 = [*(now.get(name, 0) for name in names), rare_now]
    if not rare_before and not rare_now:
        counts_0.pop()
        counts_1.pop()
    return names, [c / max(n_0, 1) for c in counts_0], [c / max(n_1, 1) for c in counts_1], n_0, n_1


def rows_light(before: int, now: int) -> Light:
    """Half or twice as many rows deserve a look, a tenth of them is bad. Our own choice: there is no convention."""
    if not before:
        return Light.OK
    if now < before / 10:
        return Light.BAD
    return Light.LOOK if now < before / 2 or now > 2 * before else Light.OK
