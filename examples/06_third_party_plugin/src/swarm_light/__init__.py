"""An environment and an action space of somebody else, found by name once this package is installed."""
