"""A pack whose requirements contradict those of demo_pins_a."""


class DemoPinsB:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "demo"

    def run(self):
        return ("b",)


NODE_CLASS_MAPPINGS = {"DemoPinsB": DemoPinsB}
