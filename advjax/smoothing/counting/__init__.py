"""Votes over noisy copies, counted in compiled programs that can be resumed."""
