"""What WhatsApp tells us: webhooks are stored as they came, then become states, consent and fuses.

Lives here: `inbox.py` (store, project, look at what could not be read), `reading.py` (bodies as values), `projection.py` (a batch of bodies in one
transaction), `inbound.py` and `wishes.py` (what people say, and what they want).
May import: `templates/`, `fuses/`, `outbox/`, the tables, `whatsapp/`. Start reading: `inbox.py`.
"""
