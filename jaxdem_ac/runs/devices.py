"""Alias of :mod:`jaxdem_ac.runs.distributed` for one version."""

from jaxdem_ac._moved import moved

moved(__name__, "jaxdem_ac.runs.distributed")
