"""The page that shows a run: player, curves and configuration in one HTML file."""
