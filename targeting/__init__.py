"""Who takes part: users, consent, data in, events, conditions, segments, rules, bucketing, enrolment, SDK features.

Lives here: packages, each with a first page of its own: `conditions/` (one meaning; closures, SQL, text, English), `segments/`
(audiences, segments, previews, attributes, tags), `rules/`, `imports/` (files, data quality), `pulls/` (other databases), `features/` (as SDKs evaluate them).
People: `users.py`, `consent.py`, `stop_words.py`, `privacy.py`, `tombstones.py`, `roster.py`, `identities.py`, `profile.py`.
What they do: `calls.py`, `events.py`, `rule_triggers.py`. Experiments: `campaigns.py` (create, apply, start, ramp), `enrolment.py` (an
audience becomes assignments; `occasions.py` when that recurs; `eligibility.py` says who may, `draw.py` and `bucketing.py` with which variant), `payload.py` and
`evaluation.py` (the same draw for SDKs and OpenFeature). `models.py` and `*repository.py`: tables and their SQL.
May import: experiments. Start reading: `bucketing.py`, `draw.py`, then `enrolment.py`.
"""
