"""What a file has named before, in eight bytes each: a set of millions of texts would not be flat memory. Pure."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray


class Seen:
    """Keeps 64-bit hashes in a few sorted runs of growing length.

    Two texts of five million share a hash with a chance of one in a million, and then only a count is off by one.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, texts: Collection[str]) -> set[str]:
        """Remember these different texts; returns those among them that were there already."""
        found = list(texts)
        hashes = np.fromiter(map(hash, found), dtype=np.int64, count=len(found))
        known = np.zeros(len(found), dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            known |= run[place] == hashes
        run = np.sort(hashes[~known])
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)
        return {text for text, was_known in zip(found, known, strict=True) if was_known}
