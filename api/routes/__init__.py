"""One module a resource; each view parses, acts and answers."""
