"""A pack without node types: it only adds to the web interface."""

NODE_CLASS_MAPPINGS = {}
WEB_DIRECTORY = "./web"
