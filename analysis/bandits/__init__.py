"""Bandits: traffic follows the better variants while an experiment runs, one reallocation a slot, with the numbers behind it kept.

Lives here: `reallocation.py` (what is due, one at a time over all workers), `considering.py` (what a slot should do, and why not),
`evidence.py` (facts -> evidence and policy of `stats/allocation.py`), `soundness.py` (is the split what it should be),
`waves.py` (the next wave of a broadcast, or its end), `words.py`,
the tables in `models.py`, their SQL in `repository.py`. Beside them, for every policy: `guarding.py` (variants that do harm are stopped, `harm.py`).
May import: `stats/`, `facts/`, `verdicts/`, `reports/`, the floors below. Start reading: `considering.py`.
"""
