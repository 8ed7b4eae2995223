"""Training: rollouts, advantages, PPO, and runs that live in one folder."""
