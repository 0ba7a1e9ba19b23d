"""A picture in one named colour, made by the core's own EmptyImage."""

import nodes as core

COLORS = {"red": 0xFF0000, "green": 0x00FF00, "blue": 0x0000FF}


class DemoSwatch:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"color": (list(COLORS),), "size": ("INT", {"default": 64, "min": 1, "max": 4096})}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "demo"

    def run(self, color, size):
        return core.NODE_CLASS_MAPPINGS["EmptyImage"]().generate(size, size, 1, COLORS[color])


NODE_CLASS_MAPPINGS = {"DemoSwatch": DemoSwatch}
NODE_DISPLAY_NAME_MAPPINGS = {"DemoSwatch": "Swatch (demo)"}
