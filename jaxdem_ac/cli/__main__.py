"""The command line as ``python -m jaxdem_ac.cli``."""

from jaxdem_ac.cli.commands import program

program()
