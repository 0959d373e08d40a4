"""The WhatsApp Cloud API: payloads out, webhooks in, the HTTP client, and the table of error codes.

May import: experiments. Start reading: `payloads.py`, then `client.py`.
"""
