"""A part of demo_recursive, in a repository of its own."""


class DemoPart:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0})}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "run"
    CATEGORY = "demo"

    def run(self, value):
        return (value,)
