"""Bandits: traffic follows the better variants while an experiment runs, one reallocation a slot, with the numbers behind it kept.

Lives here: `reallocation.py` (what is due, one at a time over all workers), `considering.py` (what a slot should do, and why not),
`evidence.py` (facts -> evidence and policy of `stats/allocation.py`), `soundness.py` (is the split what it should be), `words.py`,
the table in `models.py`, its SQL in `repository.py`.
May import: `stats/`, `facts/`, `verdicts/`, `reports/`, the floors below. Start reading: `considering.py`.
"""
