# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""ansible-test's validate-modules on every module of a collection, without ansible-test's demands on where the checkout lies.

python tests/support/validate_modules.py [COLLECTION]    where COLLECTION ends in ansible_collections/<namespace>/<name>
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ansible_test
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / ".ansible/collections/ansible_collections/emprops/comfyui"
PROGRAM = Path(ansible_test.__file__).parent / "_util/controller/sanity/validate-modules/validate.py"


def main():
    collection = Path(sys.argv[1] if len(sys.argv) > 1 else HERE).absolute()
    collections = collection.parents[2]
    # Each by its file name: handed a folder that is not there, the program finds nothing wrong in it.
    modules = sorted(str(path.relative_to(collection)) for path in collection.glob("plugins/modules/*.py") if path.name != "__init__.py")
    if not modules:
        sys.exit(f"there are no modules in {collection}")
    version = yaml.safe_load((collection / "galaxy.yml").read_text())["version"]
    # A path relative to the collections, because the program makes the modules' import names of it.
    name = str(collection.relative_to(collections))
    command = [sys.executable, str(PROGRAM), "--arg-spec", "--collection", name, "--collection-version", version, *modules]
    done = subprocess.run(command, cwd=collection, env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(collections)})
    if done.returncode:
        sys.exit(done.returncode)
    print(f"{len(modules)} modules are valid")


if __name__ == "__main__":
    main()
