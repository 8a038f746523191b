"""`python -m components.common.imports 'components.*' tensorflow` imports what it names: an image's check of itself."""

import importlib
import pkgutil
import sys


def import_all(patterns: list[str]) -> list[str]:
    """Imports modules.

    Args:
        patterns: Names of modules; one that ends in .* stands for a package and all that is in it.

    Returns:
        The names of what was imported.

    Raises:
        ImportError: one of them cannot be imported.
    """
    names = []
    for pattern in patterns:
        name = pattern.removesuffix(".*")
        module = importlib.import_module(name)
        names.append(name)
        if name != pattern:
            names += [found.name for found in pkgutil.walk_packages(module.__path__, f"{name}.", _fail)]
    for name in names:
        importlib.import_module(name)
    return names


def _fail(package: str) -> None:
    raise ImportError(f"cannot import {package}") from sys.exception()


if __name__ == "__main__":
    print(f"imported {len(import_all(sys.argv[1:]))} modules")
