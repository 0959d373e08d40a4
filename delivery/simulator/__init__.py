"""A Graph API server on loopback with a seeded world of people who receive, read, click and convert.

Knows nothing of our database: it speaks HTTP with whoever calls it, as WhatsApp does.
May import: experiments (clock, errors), delivery.whatsapp. Start reading: `world.py`.
"""
