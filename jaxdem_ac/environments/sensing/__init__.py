"""Sensors: lidar, and the neighbour lists behind it."""
