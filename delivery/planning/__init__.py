"""Assignments become messages with a due time.

Lives here: `planner.py` (batch after batch, nothing twice), `message_rows.py` (one assignment as rows; pure), `schedule.py` (send times in the
user's own zone; pure), `best_hour.py` (the hour learned per user).
May import: `limits/`, the tables. Start reading: `planner.py`.
"""
