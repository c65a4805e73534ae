"""The door: HTTP in, HTTP out, and as little as possible in between."""
