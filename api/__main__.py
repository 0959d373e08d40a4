"""`python -m api` is `touchstone`."""

from api.cli import main

main()
