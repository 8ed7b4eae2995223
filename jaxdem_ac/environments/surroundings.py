"""Alias of :mod:`jaxdem_ac.environments.sensing.neighbor_lists` for one version."""

from jaxdem_ac._moved import moved

moved(__name__, "jaxdem_ac.environments.sensing.neighbor_lists")
