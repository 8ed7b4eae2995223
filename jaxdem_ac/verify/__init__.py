"""Verification of the engine and the tasks against closed forms and published results.

``jaxdem-ac verify`` is :func:`run` in words; :data:`CASES` are its cases.
"""

from jaxdem_ac.verify.case import Case as Case
from jaxdem_ac.verify.case import Check as Check
from jaxdem_ac.verify.case import Outcome as Outcome
from jaxdem_ac.verify.cases import CASES as CASES
from jaxdem_ac.verify.runner import Result as Result
from jaxdem_ac.verify.runner import run as run
from jaxdem_ac.verify.runner import select as select
