"""HTTP routes: typed dependencies in, one service call, a schema out. No SQL, no business rules."""
