"""One message of the outbox as a value, and the pure rules of its life.

Lives here: `story.py` (the row as a value, and the moves that are not failures), `retry.py` (what an error means for a message),
`progress.py` (statuses merge as a lattice), `dispatch_repository.py`, `holding.py` and `id_lists.py` (the SQL that sending, receipts and
planning share).
May import: the tables of delivery, `whatsapp/`. Start reading: `story.py`.
"""
