"""All private names of torch that the package uses are in one list, and exist in the installed torch."""

import importlib
import re
from pathlib import Path

import torch

import kerascli
from kerascli.compiler import torch_private

NAMES = {
    "torch._C.Graph": "interpreter: a graph of TorchScript",
    "torch._C._AutoDispatchBelowAutograd": "interpreter: operations without autograd, which is in the graph already",
    "torch._C._aoti.AOTIModelContainerRunnerCpu": "compiling: runs a library without loading the compiler",
    "torch._C._create_function_from_graph": "interpreter: runs a graph without Python",
    "torch._C._get_graph_executor_optimize": "interpreter: the setting of others, put back after a call",
    "torch._C._set_graph_executor_optimize": "interpreter: operations as they are, not rewritten",
    "torch._dynamo.disable": "foundation/light_torch.py: the part of the compiler that tracing and shape inference use",
    "torch._foreach_copy_": "program, optimizers/flat.py: many copies as one operation",
    "torch._foreach_mul_": "optimizers/clipping.py: many products as one operation",
    "torch._foreach_norm": "optimizers/clipping.py: many norms as one operation",
    "torch._fused_adam_": "optimizers/adam.py: the update of all weights as one operation",
    "torch._inductor.aot_compile": "compiling: a library for the CPU",
    "torch._inductor.config.aot_inductor.precompile_headers": "compiling: no files in the shared temporary folder",
    "torch._inductor.config.cpp_cache_precompile_headers": "compiling: no files in the shared temporary folder",
    "torch._inductor.config.patch": "compiling: temporary settings",
    "torch._inductor.decomposition.decompositions": "compiling: operations that compiled code calls",
    "torch._inductor.lowering.constrain_to_fx_strides": "compiling: operations that compiled code calls",
    "torch._inductor.lowering.make_fallback": "compiling: operations that compiled code calls",
    "torch._inductor.standalone_compile": "compiling: code for a GPU",
    "torch._ops.OpOverload": "passes: distinguishes operators from other functions",
    "torch.ops.aten._softmax.default": "passes: an operator whose name is private",
    "torch.ops.aten._softmax_backward_data.default": "passes: an operator whose name is private",
    "torch.ops.aten.relu.default._overloadname": "passes: the overload that an in-place variant must have",
    "torch.ops.aten.relu.default._schema": "passes: the operator's name, what it writes to, what it returns",
    "torch.ops.mkldnn._convolution_pointwise.default": "passes: oneDNN's convolution followed by relu",
    "torch.ops.mkldnn._linear_pointwise.default": "onednn_matmul: oneDNN's product followed by relu",
    "torch.utils._python_dispatch.TorchDispatchMode": "tracing: sees every operation",
    "torch.utils._pytree.tree_map_only": "tracing: tensors in nested arguments",
}
"""Mapping from a private name of torch (with dots) to the file of the package that uses it, and the purpose."""


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
    lines = "\n".join(f"  {name} ({NAMES[name]})" for name in missing)
    assert not missing, f"torch {torch.__version__} has no longer:\n{lines}"


def test_a_name_that_vanished_is_found() -> None:
    assert not is_there("torch._C._no_such_thing")
    assert not is_there("torch._no_such_module.name")


def test_the_list_has_every_private_name_that_is_used() -> None:
    """The last part of each listed name occurs in a file that may use private names, and no other is used."""
    package = Path(kerascli.__file__).parent
    own = Path(torch_private.__file__).read_text(encoding="utf-8").partition("OpOverload = ")[2]
    others = [
        "foundation/light_torch.py",
        "optimizers/adam.py",
        "optimizers/clipping.py",
        "optimizers/flat.py",
        *(f"compiler/{name}.py" for name in ("constant_folding", "memory_reuse", "passes", "program")),
    ]
    used = own + "".join((package / name).read_text(encoding="utf-8") for name in others)
    used += "from torch.utils._python_dispatch import TorchDispatchMode, torch.utils._pytree import tree_map_only"
    for name in NAMES:
        private = [part for part in name.split(".") if part.startswith("_")]
        assert re.search(rf"\b{private[-1]}\b", used), f"'{name}' is not used any more"
    for name in re.findall(r"torch(?:\.\w+)*\._\w+(?:\.\w+)*", own):
        assert any(each.startswith(name) or name.startswith(each) for each in NAMES), f"'{name}' is not in the list"
