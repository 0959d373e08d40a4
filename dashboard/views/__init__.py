"""One file a page (`experiments.py`, `result.py`, `sign_in.py`) or a part of the result page."""
