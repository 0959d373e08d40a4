"""Conditions: a predicate over a user's attributes and history, in the GrowthBook operator language.

One meaning, four executions: `compiling.py` (closures, about a microsecond), `sql*.py` (SQLite and PostgreSQL), `words.py`
(plain English), `text.py` (the form people write; `grammar.py`, `reader.py`, `printing.py` are its parts).
`checks.py` says what is wrong, `advice.py` what may be; `values.py` how values are read and compared; `pattern*.py` bound
regular expressions; `needs.py` says what a condition asks for; `indexes.py` what an index can look up.
May import: experiments and `targeting.models`. Start reading: `compiling.py`, then `values.py`.
"""

from targeting.conditions.compiling import (
    Occurrence,
    Predicate,
    Scope,
    compile_condition,
    compile_value,
    describe,
    matches,
    validate_condition,
)

__all__ = [
    "Occurrence",
    "Predicate",
    "Scope",
    "compile_condition",
    "compile_value",
    "describe",
    "matches",
    "validate_condition",
]
