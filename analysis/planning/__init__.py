"""Before the start: how many users, how long, how surely.

Lives here: `planning.py` (over the users there are; audience, metrics, sending, past and simulation each in a `plan_*.py`, the SQL in
`planning_facts.py`), `sizing.py` (without data), `plan_findings.py` (what a plan says), `plan_text.py` and `plan_words.py` (how it says it).
May import: `stats/`, `facts/`. Start reading: `planning.py`.
"""
