"""What a message says: parameters and texts rendered for one user, and where their words come from.

Lives here: `rendering.py` (template or free text, composed in one call), `readable.py` and `ingredients.py` (what a text may read), `languages.py`
(which language for which locale), `content_sources.py` (other services and tables, with their fallbacks), `links.py` (clicks).
May import: `outbox/`, the tables, `whatsapp/`. Start reading: `rendering.py`.
"""
