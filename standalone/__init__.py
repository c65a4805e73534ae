"""The whole stack on one machine without Docker: what `make run` starts."""
