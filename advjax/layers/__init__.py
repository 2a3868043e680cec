"""Layers shared by networks, fast convolutions, and the base class of networks."""
