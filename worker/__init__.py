"""The workshop: takes ecgs from the table, puts them on the bench, writes down the insights."""
