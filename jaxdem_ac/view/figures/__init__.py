"""Pictures of a swarm: still, animated, with the rays of its sensors."""
