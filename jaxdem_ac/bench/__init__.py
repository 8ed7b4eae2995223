"""Benchmarks of agent-steps per second: cases, timing, and the limits of the machine."""
