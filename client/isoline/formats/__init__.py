"""Reads recordings from files, each format in a module of its own."""
