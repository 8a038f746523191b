"""`python -m components.common.imports PACKAGE …` imports all modules of the packages: an image's check of itself."""

import importlib
import pkgutil
import sys


def import_all(packages: list[str]) -> list[str]:
    """Imports packages and every module in them.

    Args:
        packages: Names of packages or modules.

    Returns:
        The modules' names.

    Raises:
        ImportError: one of them cannot be imported.
    """
    names = []
    for package in packages:
        module = importlib.import_module(package)
        names.append(package)
        names += [found.name for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}.", _fail)]
    for name in names:
        importlib.import_module(name)
    return names


def _fail(package: str) -> None:
    raise ImportError(f"cannot import {package}") from sys.exception()


if __name__ == "__main__":
    print(f"imported {len(import_all(sys.argv[1:]))} modules")
