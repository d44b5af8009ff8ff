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
# Ours, and the well-known types that come with grpcio-tools.
INCLUDES = [f"-I{ROOT / 'proto'}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
# Schema under proto/ -> folder of its generated module.
MODULES = {
    "retraind/wire/otlp.proto": "daemon/retraind/decode",
    "retraind/v1/trigger.proto": "daemon/retraind/webhook",
}
# Modules that are used by field name, and so have a type stub beside them.
TYPED = frozenset({"retraind/v1/trigger.proto"})


def generate(schema: str, folder: Path) -> Path:
    """Write `<name>_pb2.py` of `schema` (a path under proto/) into `folder` and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        out = [f"--python_out={scratch}", *([f"--pyi_out={scratch}"] if schema in TYPED else [])]
        if protoc.main(["protoc", *INCLUDES, *out, schema]) != 0:
            sys.exit(f"protoc failed on {schema}")
        for stub in Path(scratch).rglob("*_pb2.pyi"):
            # protoc leaves the mapping's parameters open, which `mypy --strict` refuses.
            text = stub.read_text(encoding="utf-8").replace("_Mapping]", "_Mapping[str, object]]")
            (folder / stub.name).write_text(text, encoding="utf-8")
        made = next(Path(scratch).rglob("*_pb2.py"))
        return Path(shutil.copy(made, folder / made.name))


if __name__ == "__main__":
    for name, target in MODULES.items():
        print(generate(name, ROOT / target).relative_to(ROOT))  # noqa: T201
