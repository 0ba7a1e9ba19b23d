"""A pack whose requirements contradict those of demo_pins_b."""


class DemoPinsA:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "demo"

    def run(self):
        return ("a",)


NODE_CLASS_MAPPINGS = {"DemoPinsA": DemoPinsA}
