"""From sufficient statistics to a report: pure, no database, no clock.

Lives here: `compare.py`, `by_epoch.py` (where weights changed) and `effects.py` (pairs of arms, families of comparisons), `crossing.py` (by factor), `compliers.py`
(per user reached), `health.py`, `progress.py` (power so far), `decision.py`, `report.py` (puts them together).
May import: `stats/`, `inputs.py`, `findings.py`. Start reading: `report.py`.
"""
