"""How many agent-steps per second: what is timed, how, and what a machine could do at most."""
