"""VPP's startup.conf: as a typed model, as text, and what has to change from one to the other.

Standard library only, Python 3.8, relative imports: Ansible carries it to nodes that have nothing yet.
"""

from .model import StartupConf, from_yaml, parse, render
from .plan import HEADER, Change, Plan, changes, plan
from .syntax import StartupConfError

__all__ = [
    "HEADER",
    "Change",
    "Plan",
    "StartupConf",
    "StartupConfError",
    "changes",
    "from_yaml",
    "parse",
    "plan",
    "render",
]
