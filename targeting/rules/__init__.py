"""Rules: a trigger and a condition, then actions: enrol, tag, set an attribute.

`definitions.py` (a rule as a value), `service.py` (put, enable, try), `engine.py` (exactly once for what happens:
`evaluation.py`; everybody looked at for inactivity and schedules: `walks.py`), `matching.py` (whether a rule fires, shared
with `dry_run.py`), `acting.py` and `effects.py` (what it does), `owned.py` (the rule of an experiment). What happens is noted by `targeting/rule_triggers.py`.
May import: segments, conditions, enrolment. Start reading: `definitions.py`, then `engine.py`.
"""
