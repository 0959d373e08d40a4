"""How often, and when not: the delivery policy and everything that holds a message back.

Lives here: `policy.py` (what is allowed, in the database), `caps.py`, `hours.py`, `adaptive.py` and `tier.py` (pure rules), `standing.py` (all of
them about one message: the first moment that is allowed), `circumstances.py` and `ledger_repository.py` (what must be known),
`reservation.py` (what becomes of a claimed message), `eligibility.py` (when next, for whoever asks).
May import: `outbox/`, `fuses/`, the tables. Start reading: `standing.py`.
"""
