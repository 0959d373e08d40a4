"""Do the statistics hold on these very data? The users of an experiment are drawn into arms again, ten thousand times.

Lives here: `certify.py` (the draws and what they prove, over `rerandomise.py`, `calibration.py` and `certify_pairs.py`), `certify_sources.py`
(an experiment or a file), `certify_facts.py` (their SQL), `certify_text.py`.
May import: `stats/`, `facts/`, `files/`, `reports/`. Start reading: `certify.py`.
"""
