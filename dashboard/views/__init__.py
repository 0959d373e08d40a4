"""One file a page (`pages.py` lists them), or a part of one; `states.py` is shared by all, `sidebar.py` stands beside all."""
