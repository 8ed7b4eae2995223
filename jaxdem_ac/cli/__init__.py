"""The command line, ``jaxdem-ac``."""

from jaxdem_ac.cli.commands import main as main
from jaxdem_ac.cli.commands import program as program
