"""What became of every message, whether the books hold, and why somebody was sent something or not.

Lives here: `summary.py` and `books.py` (conservation), `operations.py` (queue, rate, failures, fuses, workers), `today.py` (the
same at a glance), `why.py` (one user, one
experiment), `reasons.py` and `remedies.py` (codes in words).
May import: every other room. Start reading: `summary.py`.
"""
