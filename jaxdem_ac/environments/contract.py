"""Alias of :mod:`jaxdem_ac.environments.testing` for one version."""

from jaxdem_ac._moved import moved

moved(__name__, "jaxdem_ac.environments.testing")
