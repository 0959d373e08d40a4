"""Audiences, segments, attributes and tags: whom a condition means, asked of the database.

`audience_repository.py` (a condition as SQL and what is left to closures: everything that looks for people goes through it),
`service.py` (named segments), `membership.py` (refresh, lists, overlap of two), `combining.py` (of several), `lists.py` (lists from files), `preview.py` (count and
sample, bounded in time), `attributes.py` (what attributes there are, and their indexes), `tags.py`, `condition_reading.py`.
May import: conditions, users, `imports.source`. Start reading: `audience_repository.py`.
"""
