"""A Graph API server on loopback with a seeded world of people who receive, read, click and convert.

Knows nothing of our database: it speaks HTTP with whoever calls it, as WhatsApp does. `behaviour.py` and `world.py` say who
does what (pure), `journey.py` when, `graph.py` and `emission.py` in which words; `desk.py` takes orders, `engine.py` lets
things happen, `courier.py` carries them out, `server.py` is the way in (`build_app`, `run`, `running`).
May import: experiments (clock, errors), delivery.whatsapp. Start reading: `world.py`.
"""
