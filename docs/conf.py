"""How the documentation is built: `make docs`, or ``python -m sphinx docs build/docs``. No network is used."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Its own directives, and `benchmarks.tables`, which writes the tables of results.
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jaxdem_ac  # noqa: E402 (after the path)

project = "jaxdem-ac"
author = "The jaxdem-ac developers"
copyright = author
version = release = jaxdem_ac.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "sphinx_copybutton", "directives"]
exclude_patterns = ["reference", "_static"]

myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The notebook is stored without outputs and run when its page is built: what it shows is what this version does.
nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "auto")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"

# In the docstrings a name in single backquotes is one of the code's.
default_role = "literal"
# `--option` stays two hyphens.
smartquotes = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_validation_checks: set[str] = set()

# Types in signatures belong to libraries whose inventories would have to be fetched, or are spelled as the source
# imports them: those are not looked for. Every other reference has to resolve.
nitpick_ignore_regex = [
    (r"py:.*", r"(jax|jaxlib|flax|nnx|np|numpy|distrax|optax|click|jnp|gymnasium|pettingzoo|pytest|yaml|os)(\..*)?"),
    (r"py:.*", r"(Any|Array|ArrayLike|AutoresetMode|Callable|Iterable|Iterator|Literal|Mapping|Module|Path)"),
    (r"py:.*", r"(Self|Sequence|Arguments|ArrayTree|Components|Console|Vectors)"),
    # Type variables, a generic in quotes that is cut at its comma, and types that only a checker of types imports.
    (
        r"py:(class|obj)",
        r"jaxdem_ac\..*\.(Class|ClassField|Kept|Made|_Part|Measured|Method|Played|Result|Tree)|dict\[str|Figure|Json",
    ),
    (r"py:(class|obj)", r"jaxdem_ac\..*\.(Config|Environment|Init|Learner|State|SwarmState)T"),
    (r"py:.*", r"(abc|ast|collections|contextlib|dataclasses|functools|pathlib|types|typing|tuple|type)(\..*)?"),
]

html_theme = "furo"
html_title = f"jaxdem-ac {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sphinx = False
# Pages load nothing from elsewhere.
html_math_renderer = "mathml"
