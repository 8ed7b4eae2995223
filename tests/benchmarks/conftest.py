"""Fixtures of the bench."""

from support.bench_fixtures import noise, quick

__all__ = ["noise", "quick"]
