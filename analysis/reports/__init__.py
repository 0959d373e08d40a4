"""Reports that are kept, made again byte for byte, and shown.

Lives here: `service.py` (looks and stored reports), `arms.py` (the arms they compare), `copies.py` and `cautions.py` (what a report allows for where its data are a copy),
`evidence.py` (what one was made from, hashed, over `canonical.py` and `dataclass_json.py`), `replay.py`, `history.py` (lists, effects
over time), `digest.py` (the newest in a list), `segment_*.py` (by slice of the users). Shown: `report_text.py` (terminal), `report_html.py` (page; `report_words.py`,
`report_pictures.py`, `pages/`), `report_csv.py`. Tables in `models.py`, their SQL in `repository.py`.
May import: `stats/`, `facts/`, `verdicts/`. Start reading: `service.py`.
"""
