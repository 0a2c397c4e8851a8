"""Generate a config for a folder of images whose model begins with a published network."""

from kerascli.config.composition.applications import Application
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.folders import Folders
from kerascli.config.starter.models import head
from kerascli.data.storage.image_files import need_pillow


def base_draft(folders: Folders, path: str, network: Application) -> Draft:
    """Generate the draft of a classifier of images on a network: first its head is trained, then all of it.

    `path` is the folder's path in the config. Raises ConfigError.
    """
    need_pillow()
    side, classes = network.network.size, folders.classes
    draft = Draft(f"Classifies images into {len(classes)} classes, by {network.name} with the weights of ImageNet.")
    resized = f"images are resized to {side}x{side}, as {network.name} takes them"
    draft.decide("data", *folders.reasons("images"), resized)
    source = folders.data("image_folder", path, image_size=[side, side])
    draft.sections["data"] = {**source, "inputs": {"image": [{"preprocess": network.name}]}, "targets": {"label": []}}
    draft.decide("model", "the base computes with its moving averages (training: false), also when it is trained")
    last = {"dense": head(classes, "label")}
    draft.sections["model"] = {
        "shared": {"base": {"application": network.name, "include_top": False}},
        "layers": [{"base": {"training": False}}, "global_average_pooling_2d", {"dropout": 0.2}, last],
    }
    draft.compile(classes, balanced=folders.is_uneven())
    draft.fit(folders.count, balanced=folders.is_uneven(), images=True)
    fit = draft.sections["fit"]
    epochs = fit.pop("epochs")
    slowly = {"optimizer": {"adam": 1e-5}}
    fit["phases"] = [
        {"epochs": epochs, "trainable": {"base": False}},
        {"epochs": epochs, "trainable": {"base": True}, "compile": slowly},
    ]
    draft.decide("fit", "first the new layers, on the outputs of the base, then all layers at a low learning rate")
    return draft
