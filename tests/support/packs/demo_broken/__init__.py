"""A pack that needs a module nobody has."""

import demo_module_that_is_missing

NODE_CLASS_MAPPINGS = {"DemoBroken": demo_module_that_is_missing.DemoBroken}
