"""Alias of :mod:`jaxdem_ac.action_spaces.distributions` for one version."""

from jaxdem_ac._moved import moved

moved(__name__, "jaxdem_ac.action_spaces.distributions")
