"""Fixtures of the bench."""

from bench_fixtures import noise, quick

__all__ = ["noise", "quick"]
