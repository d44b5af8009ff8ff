"""Regenerate the committed Python modules of the wire schema: `python proto/regenerate.py`.

Needs grpcio-tools (in the `dev` extra). tests/unit/decode/test_wire_schema.py fails when the
committed module does not match the schema.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
# Schema under proto/ -> folder of its generated module.
MODULES = {"retraind/wire/otlp.proto": "daemon/retraind/decode"}


def generate(schema: str, folder: Path) -> Path:
    """Write `<name>_pb2.py` of `schema` (a path under proto/) into `folder` and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={scratch}", schema]) != 0:
            sys.exit(f"protoc failed on {schema}")
        made = next(Path(scratch).rglob("*_pb2.py"))
        return Path(shutil.copy(made, folder / made.name))


if __name__ == "__main__":
    for name, target in MODULES.items():
        print(generate(name, ROOT / target).relative_to(ROOT))  # noqa: T201
