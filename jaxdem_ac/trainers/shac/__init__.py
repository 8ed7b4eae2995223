"""Short-horizon actor-critic: the policy follows the slope of a window's return through the physics."""
