"""The environment in which chapters and Sphinx run, built up from what they need.

The reader's own settings of Python, IPython, Jupyter, matplotlib, docutils, git and the terminal, and those of the
machine, change nothing in the book.
"""

import json
import os
import site
import sys
from pathlib import Path

from lsbook.core import checkout
from lsbook.core.paths import TABLE_OF_CONTENTS, cache_path, data_path, project_root, results_path, runs_path

KERNEL = "lsbook"
# Where programs, libraries and scratch space are, the way to the network, and what a machine's numbers of threads are.
NEEDED = (
    *("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"),
    *("TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
# What a kernel executes: IPython's own, which would also look for settings in /etc and beside the interpreter.
LAUNCH = """
from IPython.core import application
from ipykernel import kernelapp
for folders in (application.SYSTEM_CONFIG_DIRS, application.ENV_CONFIG_DIRS):
    folders.clear()
kernelapp.launch_new_instance()
"""
PREFIXES = "LSBOOK_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_", "NVIDIA_"


def environment(home: Path) -> dict[str, str]:
    """Return the environment variables of kernels and Sphinx: this project's folders, and nothing that varies.

    home: a new folder, which is the user's home to them; settings are put there.
    """
    _write_settings(home)
    kept = {name: value for name, value in os.environ.items() if name in NEEDED or name.startswith(PREFIXES)}
    if site.ENABLE_USER_SITE:
        kept["PYTHONUSERBASE"] = site.getuserbase()  # else it is looked for in the home
    last_change = checkout.git(project_root() / TABLE_OF_CONTENTS, "log", "-1", "--format=%ct", "--no-show-signature")
    return kept | {
        "LSBOOK_RESULTS": str(results_path()),
        "LSBOOK_DATA": str(data_path()),
        "LSBOOK_RUNS": str(runs_path()),
        "HOME": str(home),
        "USER": KERNEL,  # some ask who they are, and an unknown user has no name
        "XDG_CACHE_HOME": str(cache_path().parent),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_PREFER_ENV_PATH": "0",  # that folder before others
        "JUPYTER_NO_CONFIG": "1",
        "DOCUTILSCONFIG": "",  # no file of settings, not even in /etc
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": os.pathsep.join(_packages()),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": last_change or "0",
    }


def _packages() -> list[str]:
    """Return the reader's own folders of packages, which may be named from here."""
    return [str(Path(folder).absolute()) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _write_settings(home: Path) -> None:
    """Write a Jupyter kernel of this interpreter."""
    kernel = {"argv": [sys.executable, "-P", "-c", LAUNCH, "-f", "{connection_file}"], "language": "python"}
    path = home / "jupyter" / "kernels" / KERNEL / "kernel.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(kernel | {"display_name": KERNEL}), encoding="utf-8")
