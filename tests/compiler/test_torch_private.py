"""All private names of torch that the package uses are in one list, and exist in the installed torch."""

import importlib
import re
from pathlib import Path

import torch

import kerascli
from kerascli.compiler import torch_private
from kerascli.compiler.torch_private import NAMES


def is_there(name: str) -> bool:
    """Return True if a dotted name exists, importing the modules in it."""
    found: object = torch
    path = "torch"
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        if not hasattr(found, part):
            try:
                importlib.import_module(path)
            except ImportError:
                return False
        found = getattr(found, part, None)
        if found is None:
            return False
    return True


def test_the_installed_torch_has_every_private_name() -> None:
    without_onednn = () if torch.backends.mkldnn.is_available() else ("torch.ops.mkldnn.",)
    missing = [name for name in NAMES if not name.startswith(without_onednn) and not is_there(name)]
    told = "\n".join(f"  {name} ({NAMES[name]})" for name in missing)
    assert not missing, f"torch {torch.__version__} has no longer:\n{told}"


def test_a_name_that_vanished_is_found() -> None:
    assert not is_there("torch._C._no_such_thing")
    assert not is_there("torch._no_such_module.name")


def test_the_list_has_every_private_name_that_is_used() -> None:
    """The last part of each listed name occurs in a file that may use private names, and no other is used."""
    package = Path(kerascli.__file__).parent
    own = Path(torch_private.__file__).read_text(encoding="utf-8").partition("OpOverload = ")[2]
    others = ["foundation/light_torch.py", "optimizers/clipping.py", "optimizers/flat.py", "compiler/passes.py"]
    used = own + "".join((package / name).read_text(encoding="utf-8") for name in others)
    used += "from torch.utils._python_dispatch import TorchDispatchMode, torch.utils._pytree import tree_map_only"
    for name in NAMES:
        private = [part for part in name.split(".") if part.startswith("_")]
        assert re.search(rf"\b{private[-1]}\b", used), f"'{name}' is not used any more"
    for name in re.findall(r"torch(?:\.\w+)*\._\w+(?:\.\w+)*", own):
        assert any(each.startswith(name) or name.startswith(each) for each in NAMES), f"'{name}' is not in the list"
