"""Who takes part: users, consent, import, events, conditions, bucketing, enrolment.

Lives here: `imports.py` (files become users), `users.py`, `consent.py`, `events.py` (what users did),
`conditions.py` and `condition_sql.py` (one meaning, two executions; `condition_*.py` are their parts), `bucketing.py` (hash to
variant), `features.py` (experiments as SDK features; `feature_*.py` and `sticky_buckets.py` are its parts), `enrolment.py` (an
audience becomes assignments; `eligibility.py` says who may, `draw.py` with which variant), `campaigns.py` (create, apply, start), `rules.py`
(something happens, something is done: `rule_engine.py` runs them, `rule_*.py` are their parts), `roster.py` and `profile.py` (what is known of a user),
`models.py` and `*repository.py` (tables and their SQL).
May import: experiments.
Start reading: `bucketing.py`, then `enrolment.py`.
"""
