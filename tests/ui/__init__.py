"""Does the page work in a real browser? One visit is evidence; small checks judge it."""
