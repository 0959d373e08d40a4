"""A campaign that is being written, as the document that `touchstone apply` reads: pure functions between it and a form.

Lives here: `documents.py` (places in a document, YAML, copies), `fields.py` (how a value is shown and written, and which fields
the form has), `timing.py` (triggers, send times), `arms.py` (variants and factors), `messages.py` (what a template asks for),
`metrics.py`, `steps.py` (the steps of the wizard, and which of them a field belongs to), `bubbles.py`, `plan_answers.py` (what a plan says).
May import: nothing of the dashboard but `formats`, `values` and `charts`. Start reading: `documents.py`, then `fields.py`.
"""
