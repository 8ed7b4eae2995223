"""Steps per second."""
