"""The five tasks."""
