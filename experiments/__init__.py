"""What is tried: the design of experiments, their lifecycle, metrics; and the ground every floor stands on.

Lives here: `design.py` (a campaign as a validated value; `allocation.py` is its bandit, `mistakes.py` says what is wrong with it), `lifecycle.py` (legal moves), `service.py` and
`repository.py` (create, read, start, pause ..), `models.py` (tables), `guards.py` and `stopped_arms.py` (harm, and what it stops), `content.py` (the Jinja2 sandbox).
The ground: `errors.py`, `vocabulary.py`, `clock.py`, `settings.py`, `database.py`, `audit.py`.
May import: nothing of ours; this is the lowest floor.
Start reading: `design.py`, then `lifecycle.py`, then `service.py`.
"""
