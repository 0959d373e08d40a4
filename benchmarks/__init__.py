"""Two programs about the product, not part of it: how fast it is, and how right.

`python -m benchmarks.run [NAME ..]` (make bench) measures speeds; each figure stands beside a yardstick of the same run.
`python -m benchmarks.certify` (make certify) proves the statistics by simulation and writes docs/certification.md.

May import every floor; nothing imports it. Start reading in `figures.py` and `claims.py`.
"""
