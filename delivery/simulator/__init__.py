"""A Graph API server on loopback with a seeded world of people who receive, read, click, write, stop and convert.

Knows nothing of our database: it speaks HTTP with whoever calls it, as WhatsApp does. docs/simulator.md has its settings and routes.
`behaviour.py` and `world.py` say who does what (pure), `journey.py` and `visits.py` when; `profile.py` how strict it is, and
`limits.py`, `correspondence.py`, `pacing.py` what follows; `registry*.py` and `components.py` know templates, `orders.py` and
`graph.py` the words of requests and answers, `emission.py` and `notices.py` those of webhooks. `desk.py` takes orders and
keeps the `ledger.py`, `engine.py` lets things happen, `courier.py` carries them out; `fault_plan.py` and `door.py` make
trouble; `graph_app.py`, `control_app.py` and `server.py` are the way in (`build_app`, `run`, `running`).
May import: experiments (clock, errors), delivery.whatsapp. Start reading: `desk.py`.
"""
