"""The parts of networks: layers, their fast convolutions, and the base of all."""
