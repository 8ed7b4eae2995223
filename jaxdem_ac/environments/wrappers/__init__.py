"""Adapters of environments for Gymnasium and PettingZoo."""
