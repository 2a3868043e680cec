"""Us beside the rivals: the same work, in one run, in one table."""
