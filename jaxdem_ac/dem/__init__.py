"""The embedded engine: soft spheres and discs in a box. What it leaves out is what JaxDEM is for."""

from jaxdem_ac.dem.boundaries import Boundary as Boundary
from jaxdem_ac.dem.columns import Columns as Columns
from jaxdem_ac.dem.contact_law import Contact as Contact
from jaxdem_ac.dem.contact_law import ContactLaw as ContactLaw
from jaxdem_ac.dem.contact_law import CundallStrack as CundallStrack
from jaxdem_ac.dem.contact_law import Hertz as Hertz
from jaxdem_ac.dem.contact_law import HertzMindlin as HertzMindlin
from jaxdem_ac.dem.contact_law import TangentialSpring as TangentialSpring
from jaxdem_ac.dem.particles import Particles as Particles
from jaxdem_ac.dem.springs import with_springs as with_springs
from jaxdem_ac.dem.step import advance as advance
from jaxdem_ac.dem.step import engine_step as engine_step
from jaxdem_ac.dem.step import simulate as simulate
from jaxdem_ac.dem.time_step import TimeStepWarning as TimeStepWarning
from jaxdem_ac.dem.world import World as World
