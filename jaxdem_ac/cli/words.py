"""Advice of errors, which name arguments of Python, in the words of the command line."""

import re

_AXES = {"envs": "env", "models": "model", "dtypes": "dtype", "num_particles": "num-particles", "num_envs": "num-envs"}
_WORDS = {
    "parse_assignments: ": "--set: ",
    "Choose another out": "Choose another --out",
    "pass overwrite=True": "pass --overwrite",
    "Give the out of a training": "Give the --out of a training",
    " with resume": " with --resume",
    " with init_from": " with --init-from",
    "init_checkpoint is of the run in init_from": "--checkpoint is of the run in --init-from",
    "Set init_from too": "Set --init-from too",
    "Pass devices='all'": "Pass --devices all",
    "Use one process, and devices='all' for all that it has": "Leave out --distributed, and use --devices all for the "
    "devices of one",
    "coordinator, num_processes and process_id go": "--coordinator, --num-processes and --process-id go",
    "under a scheduler none": "under a scheduler --distributed alone",
    "from its arguments": "from its options",
    "Give coordinator='HOST:PORT', num_processes and process_id": "Give --coordinator HOST:PORT, --num-processes and "
    "--process-id",
    "Give run_dir, or recordings": "Give RUN, or --recording FILE",
    "and no out. Give one": "and no --out. Give --out FILE",
    "leave sharings out": "leave --sharing out",
    "Use the axis sharings": "Use --sharing",
    **{f"Use the axis {axis}": f"Use --{option}" for axis, option in _AXES.items()},
}
_PROCESSES = re.compile(r"(?<=got no )(coordinator|num_processes|process_id)(, (num_processes|process_id))?")
_RESUME = re.compile(r"""\bresume\((['"])(.*)\1\)""")


def in_options(message: str) -> str:
    """Return what an error says, with options in place of arguments."""
    for argument, option in _WORDS.items():
        message = message.replace(argument, option)
    message = _RESUME.sub(r"jaxdem-ac train --resume \2", message)
    return _PROCESSES.sub(
        lambda found: ", ".join(f"--{name.replace('_', '-')}" for name in found[0].split(", ")), message
    )
