"""Side-by-side comparisons with peers: each prints a table and, as its last line, one JSON object."""
