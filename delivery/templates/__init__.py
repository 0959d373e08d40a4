"""The registry of WhatsApp's templates: brought in line with its list, compared with designs, shown to people before anybody is sent one.

Lives here: `registry.py` (whether a campaign fits its templates), `template_checks.py` and `template_shapes.py` (pure), `template_sync.py` and
`template_updates.py` (what the list and webhooks say), `template_guard.py` (what a running campaign learns of it), `previews.py`.
May import: `content/`, `fuses/`, `outbox/`, the tables, `whatsapp/`. Start reading: `registry.py`.
"""
