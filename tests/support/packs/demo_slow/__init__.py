"""A node that takes as long as it is told, and stops when it is interrupted."""

import time

import nodes as core


class DemoSleep:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seconds": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 3600.0})}}

    @classmethod
    def IS_CHANGED(cls, seconds):
        return float("nan")

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "demo"

    def run(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            core.before_node_execution()
            time.sleep(min(left, 0.1))
        return {"ui": {"seconds": [seconds]}, "result": (seconds,)}


NODE_CLASS_MAPPINGS = {"DemoSleep": DemoSleep}
NODE_DISPLAY_NAME_MAPPINGS = {"DemoSleep": "Sleep (demo)"}
