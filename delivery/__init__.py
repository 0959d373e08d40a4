"""What is sent: plan, caps, render, send, receive receipts; the WhatsApp client and the WhatsApp simulator.

Lives here, in rooms from the ground up: `outbox/` (one message as a value), `fuses/` (what stops many), `limits/` (how often, and when not),
`content/` and `templates/` (what it says), `receipts/` (what WhatsApp tells us), `sending/` (claim, reserve, POST, record),
`planning/` (assignments become messages), `watch/` (the books, and why); beside them `whatsapp/` (wire format, client, error
table) and `simulator/` (a Graph API server with a world of people). On the floor itself: the tables (`models.py`), the clock on
people's walls (`local_time.py`), and what belongs to one person (`privacy.py`).
May import: targeting, experiments.
Start reading: `sending/dispatch.py`; its first page follows one message from claim to receipt.
"""
