"""A pack whose only node comes from a submodule: without it the import fails."""

from .parts import DemoPart

NODE_CLASS_MAPPINGS = {"DemoPart": DemoPart}
