"""What is sent: plan, caps, render, send, receive receipts; the WhatsApp client and the WhatsApp simulator.

Lives here: `planner.py` (assignments become messages), `dispatch.py` (claim, reserve, POST, record) with `reservation.py`
(pure) and `reserving.py`, `outcomes.py` and `recording.py`, `story.py` (one row as a value), how often and when not (`policy.py`, `standing.py` over
`caps.py`, `hours.py`, `adaptive.py`, `tier.py`; `eligibility.py`), `retry.py` (what
each error means for a message), `receipts.py` (webhooks become states) with `progress.py`, `reading.py` and `inbound.py`,
`breakers.py` (fuses), `links.py` (clicks), `summary.py` (the books), `whatsapp/` (wire format, client, error table),
`simulator/` (a Graph API server with a world of people).
May import: targeting, experiments.
Start reading: `dispatch.py`; its docstring follows one message from claim to receipt.
"""
