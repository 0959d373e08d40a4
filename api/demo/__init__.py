"""A whole campaign on one machine: made-up people, a simulated WhatsApp, a hurried clock, the real everything else.

`rehearsal.py` runs any campaign that way, `people.py` makes people up, `show.py` is `touchstone demo`.
"""
