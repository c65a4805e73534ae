"""Small honest programs to compare with."""
