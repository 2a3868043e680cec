"""Programs: each trains, attacks, certifies or reports, from one command line."""
