"""Files of the weights that torchvision publishes for its convolutional networks; each name includes a checksum."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kerascli.foundation.errors import one_of, safe_text, suggestion

Weights = Literal["IMAGENET1K_V1", "IMAGENET1K_V2"]
"""Names of the versions of torchvision's weights; not every model has the later one."""

_BASE = "https://download.pytorch.org/models/"
_FILES: Mapping[Weights, Mapping[str, str]] = {
    "IMAGENET1K_V1": {
        "alexnet": "alexnet-owt-7be5be79", "convnext_base": "6075fbad", "convnext_large": "ea097f82",
        "convnext_small": "0c510722", "convnext_tiny": "983f1562", "densenet121": "a639ec97", "densenet161": "8d451a50",
        "densenet169": "b2777c0a", "densenet201": "c1103571", "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc",
        "efficientnet_b1": "efficientnet_b1_rwightman-bac287d4",
        "efficientnet_b2": "efficientnet_b2_rwightman-c35c1473",
        "efficientnet_b3": "efficientnet_b3_rwightman-b3899882",
        "efficientnet_b4": "efficientnet_b4_rwightman-23ab8bcd",
        "efficientnet_b5": "efficientnet_b5_lukemelas-1a07897c",
        "efficientnet_b6": "efficientnet_b6_lukemelas-24a108a5",
        "efficientnet_b7": "efficientnet_b7_lukemelas-c5b4e57e", "efficientnet_v2_l": "59c71312",
        "efficientnet_v2_m": "dc08266a", "efficientnet_v2_s": "dd5fe13b",
        "mnasnet0_5": "mnasnet0.5_top1_67.823-3ffadce67e", "mnasnet0_75": "7090bc5f",
        "mnasnet1_0": "mnasnet1.0_top1_73.512-f206786ef8", "mnasnet1_3": "a4c69d6f", "mobilenet_v2": "b0353104",
        "mobilenet_v3_large": "8738ca79", "mobilenet_v3_small": "047dcff4", "regnet_x_16gf": "2007eb11",
        "regnet_x_1_6gf": "e3633e7f", "regnet_x_32gf": "9d47f8d0", "regnet_x_3_2gf": "f342aeae",
        "regnet_x_400mf": "adf1edd5", "regnet_x_800mf": "ad17e45c", "regnet_x_8gf": "03ceed89",
        "regnet_y_16gf": "9e6ed7dd", "regnet_y_1_6gf": "b11a554e", "regnet_y_32gf": "4dee3f7a",
        "regnet_y_3_2gf": "b5a9779c", "regnet_y_400mf": "c65dace8", "regnet_y_800mf": "1b27b58c",
        "regnet_y_8gf": "d0d0e4a8", "resnet101": "63fe2227", "resnet152": "394f9c45", "resnet18": "f37072fd",
        "resnet34": "b627a593", "resnet50": "0676ba61", "resnext101_32x8d": "8ba56ff5", "resnext101_64x4d": "173b62eb",
        "resnext50_32x4d": "7cdf4587", "shufflenet_v2_x0_5": "shufflenetv2_x0.5-f707e7126e",
        "shufflenet_v2_x1_0": "shufflenetv2_x1-5666bf0f80", "shufflenet_v2_x1_5": "shufflenetv2_x1_5-3c479a10",
        "shufflenet_v2_x2_0": "shufflenetv2_x2_0-8be3c8ee", "squeezenet1_0": "b66bff10", "squeezenet1_1": "b8a52dc0",
        "vgg11": "8a719046", "vgg11_bn": "6002323d", "vgg13": "19584684", "vgg13_bn": "abd245e5", "vgg16": "397923af",
        "vgg16_bn": "6c64b313", "vgg19": "dcbb9e9d", "vgg19_bn": "c79401a0", "wide_resnet101_2": "32ee1156",
        "wide_resnet50_2": "95faca4d",
    },
    "IMAGENET1K_V2": {
        "efficientnet_b1": "c27df63c", "mobilenet_v2": "7ebf99e0", "mobilenet_v3_large": "5c1a4163",
        "regnet_x_16gf": "ba3796d7", "regnet_x_1_6gf": "a12f2b72", "regnet_x_32gf": "6eb8fdc6",
        "regnet_x_3_2gf": "7071aa85", "regnet_x_400mf": "62229a5f", "regnet_x_800mf": "94a99ebd",
        "regnet_x_8gf": "2b70d774", "regnet_y_16gf": "3e4a00f9", "regnet_y_1_6gf": "0d7bc02a",
        "regnet_y_32gf": "8db6d4b5", "regnet_y_3_2gf": "9180c971", "regnet_y_400mf": "e6988f5f",
        "regnet_y_800mf": "58fc7688", "regnet_y_8gf": "dc2b1b54", "resnet101": "cd907fc2", "resnet152": "f82ba261",
        "resnet50": "11ad3fa6", "resnext101_32x8d": "110c445d", "resnext50_32x4d": "1a0047aa",
        "wide_resnet101_2": "d733dc28", "wide_resnet50_2": "9ba9bcbe",
    },
}  # fmt: skip
"""Mapping from version to a mapping from model to its weights file: the checksum in the file's name, which begins with
the model's, or else the whole name (without .pth)."""


@dataclass(frozen=True, slots=True)
class Published:
    """Weights file that torchvision publishes for a model; `file` is its name there and in torch's cache."""

    file: str

    @property
    def url(self) -> str:
        return f"{_BASE}{self.file}"

    @property
    def checksum(self) -> str:
        """First digits of the SHA-256 of the weights file, which are part of the file's name."""
        return self.file.removesuffix(".pth").rpartition("-")[2]


def published_models() -> list[str]:
    return sorted(_FILES["IMAGENET1K_V1"])


def published_model(name: str) -> str:
    """Return `name` if it is a torchvision model whose weights this module lists. Raises ValueError if not."""
    if name not in (models := published_models()):
        near = suggestion(name, models) or ", only of convolutional networks such as resnet50"
        raise ValueError(f"there are no weights of '{safe_text(name, 60)}'{near}")
    return name


def published(model: str, weights: Weights) -> Published:
    """Return the file of a version of a torchvision model's weights. Raises ValueError if there is none."""
    if model not in _FILES[weights]:
        raise ValueError(f"{model} has only {one_of([each for each, files in _FILES.items() if model in files])}")
    name = _FILES[weights][model]
    return Published(f"{name if '-' in name else f'{model}-{name}'}.pth")
