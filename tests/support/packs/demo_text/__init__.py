"""Text: a number of bytes in words, and a text on the screen."""

import humanize


class DemoHumanizeBytes:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"size": ("INT", {"default": 0, "min": 0, "max": 2**53})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "demo"

    def run(self, size):
        return (humanize.naturalsize(size),)


class DemoShowText:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "demo"

    def run(self, text):
        return {"ui": {"text": [text]}, "result": (text,)}


NODE_CLASS_MAPPINGS = {"DemoHumanizeBytes": DemoHumanizeBytes, "DemoShowText": DemoShowText}
NODE_DISPLAY_NAME_MAPPINGS = {"DemoHumanizeBytes": "Bytes in words (demo)", "DemoShowText": "Show text (demo)"}
