"""The hall: what the door (api) and the workshop (worker) both stand on."""
