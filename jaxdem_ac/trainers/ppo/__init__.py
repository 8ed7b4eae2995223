"""Proximal policy optimisation: configuration, state, rollouts, loss and update."""
