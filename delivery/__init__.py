"""What is sent: plan, caps, render, send, receive receipts; the WhatsApp client and the WhatsApp simulator.

Lives here: `planner.py` (assignments become messages), `dispatch.py` (claim, reserve, POST, record), `caps.py`,
`retry.py` (what each error means for a message), `receipts.py` (webhooks become states), `links.py` (clicks),
`whatsapp/` (wire format, client, error table), `simulator/` (a Graph API server with a world of people).
May import: targeting, experiments.
Start reading: `dispatch.py`; its docstring follows one message from claim to receipt.
"""
