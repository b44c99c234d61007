"""What pyproject.toml cannot say: with GATEWAY_COMPILE=1 the modules that a request passes by become shared objects."""

import os
import runpy
from pathlib import Path

from setuptools import setup

extensions = []
if os.environ.get("GATEWAY_COMPILE") == "1":
    from mypyc.build import mypycify

    sources = runpy.run_path("gateway/record/build.py")["compiled_sources"](Path("gateway"))
    extensions = mypycify(
        [str(source) for source in sources], opt_level="3", debug_level="0", group_name="gateway.native"
    )
setup(ext_modules=extensions)
