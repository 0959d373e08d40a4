"""A message is claimed, reserved, POSTed and recorded: each at most once, whatever happens to us.

Lives here: `dispatch.py` (the story, and the only service that opens its own transactions), `reserving.py` (the last look, and the slot),
`gate.py` and `posting.py` (no POST begins after a withdrawal), `recording.py`, `claim_repository.py`, `throughput.py` and `workers.py` (one
number, several workers).
May import: every room but `planning/` and `watch/`. Start reading: `dispatch.py`.
"""
