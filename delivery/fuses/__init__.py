"""What stops more than one message: fuses of everything, a number, a template, a variant, an unguarded experiment; and what WhatsApp says of our numbers.

Lives here: `breakers.py` (open, close, what is held back), `outcomes.py` (what the answer of a POST does to its message, and which alarm
it raises), `streaks.py` (equal errors of a variant, counted in the database), `unguarded.py` (looks that fail), `numbers.py` (quality, tier, trouble).
May import: `outbox/`, the tables, `whatsapp/`. Start reading: `breakers.py`.
"""
