"""What this pack finds of DEMO_TOKEN (its digest only) and DEMO_UNSET, in the environment or else in the pack's own .env."""

import hashlib
import os
from pathlib import Path


def read_env():
    file = Path(__file__).parent / ".env"
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#")]
    found = {key.strip(): ("file", value.strip().strip("'\"")) for key, value in pairs}
    found.update({key: ("environment", value) for key, value in os.environ.items()})
    return found


class DemoEnv:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    @classmethod
    def IS_CHANGED(cls):
        return float("nan")

    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("token_sha256",)
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "demo"

    def run(self):
        env = read_env()
        source, token = env.get("DEMO_TOKEN", ("absent", None))
        digest = "" if token is None else hashlib.sha256(token.encode()).hexdigest()
        unset = "absent" if "DEMO_UNSET" not in env else "set" if env["DEMO_UNSET"][1] else "empty"
        return {"ui": {"token_sha256": [digest], "token_source": [source], "unset": [unset]}, "result": (digest,)}


NODE_CLASS_MAPPINGS = {"DemoEnv": DemoEnv}
NODE_DISPLAY_NAME_MAPPINGS = {"DemoEnv": "Environment (demo)"}
