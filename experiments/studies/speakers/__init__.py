"""Tables, figures and steps of the studies of speakers."""
