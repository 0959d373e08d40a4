"""Pure statistics: sufficient statistics in, frozen values out; no I/O, no clock, no randomness of its own.

May import: numpy, scipy, statsmodels; none of our code (import-linter proves it).
"""
