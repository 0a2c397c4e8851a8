"""What a setting means: its own docstring, else the one table for settings that many components share."""

import ast
import inspect
import textwrap
from functools import cache

from pydantic import BaseModel

_SHARED = {
    "activation": "What is done to the result, value by value; none: nothing.",
    "activity_regularizer": "A penalty on the output, added to the loss.",
    "amsgrad": "Divide by the largest second moment so far instead of the present one.",
    "average": "How the classes' figures become one; null: one figure a class.",
    "axis": "The axis (or axes) that this works along; negative ones count from the last.",
    "beta_1": "How slowly the mean of the gradients forgets.",
    "beta_2": "How slowly the mean of their squares forgets.",
    "beta_constraint": "What the offsets are held to after each update.",
    "beta_initializer": "What the offsets start from.",
    "beta_regularizer": "A penalty on the offsets, added to the loss.",
    "bias_constraint": "What the bias is held to after each update.",
    "bias_initializer": "What the bias starts from.",
    "bias_regularizer": "A penalty on the bias, added to the loss.",
    "center": "Add a learned offset.",
    "class_id": "Look at this class alone; null: all.",
    "clipnorm": "Scale down each weight's gradient that is longer than this.",
    "clipvalue": "Cut each number of a gradient to this, up and down.",
    "data_format": "Where the channels are: on the last axis, or on the first after the batch.",
    "decay_rate": "How much the rate falls in decay_steps.",
    "decay_steps": "The number of updates over which the rate falls.",
    "dilation_rate": "The distance of a window's points; 1: side by side.",
    "ema_momentum": "How slowly the averaged weights forget.",
    "ema_overwrite_frequency": "Every how many updates the averages replace the weights; null: at the end.",
    "embeddings_constraint": "What the vectors are held to after each update.",
    "embeddings_initializer": "What the vectors start from.",
    "embeddings_regularizer": "A penalty on the vectors, added to the loss.",
    "epsilon": "A small number that keeps a division from going wrong.",
    "filters": "How many channels come out.",
    "from_logits": "The predictions are not probabilities yet: the last layer has no activation.",
    "gain": "What all values are multiplied by.",
    "gamma_constraint": "What the factors are held to after each update.",
    "gamma_initializer": "What the factors start from.",
    "gamma_regularizer": "A penalty on the factors, added to the loss.",
    "global_clipnorm": "Scale all gradients down together when together they are longer than this.",
    "gradient_accumulation_steps": "Add up the gradients of this many batches for one update.",
    "groups": "Groups of channels that are convolved apart.",
    "ignore_class": "Targets of this class do not count.",
    "initial_accumulator_value": "What the sums of squares start from.",
    "initial_learning_rate": "The rate of the first update.",
    "input_axes": "Axes of the weight that count as inputs; null: Keras's rule.",
    "keepdims": "Keep the axes that were reduced, with size 1.",
    "kernel_constraint": "What the kernel is held to after each update.",
    "kernel_initializer": "What the kernel starts from.",
    "kernel_regularizer": "A penalty on the kernel, added to the loss.",
    "kernel_size": "The size of the window.",
    "label_smoothing": "How far targets are moved from 0 and 1 to the middle.",
    "learning_rate": "How far an update goes: a number, or a schedule over the updates.",
    "loss_scale_factor": "What the loss is multiplied by, and the gradients divided by.",
    "mask_token": "The value that stands for 'missing'; it counts as no word.",
    "monitor": "The figure to watch, as logs call it.",
    "moving_mean_initializer": "What the running mean starts from.",
    "moving_variance_initializer": "What the running variance starts from.",
    "negative_slope": "What negative values are multiplied by.",
    "nesterov": "Look ahead along the momentum.",
    "noise_shape": "Axes of size 1 share one decision; null: every value its own.",
    "num_thresholds": "How many thresholds the curve is taken at.",
    "output_axes": "Axes of the weight that count as outputs; null: Keras's rule.",
    "padding": "valid: only whole windows; same: as many as there are inputs (with strides 1); causal: none looks ahead.",
    "patience": "Epochs without improvement that are waited for.",
    "pool_size": "The size of the window.",
    "recurrent_activation": "The activation of the gates.",
    "recurrent_constraint": "What the recurrent kernel is held to after each update.",
    "recurrent_dropout": "The fraction of the state that is dropped in training, the same at every step.",
    "recurrent_initializer": "What the recurrent kernel starts from.",
    "recurrent_regularizer": "A penalty on the recurrent kernel, added to the loss.",
    "reduction": "How the values of the samples become one figure.",
    "restore_best_weights": "End with the weights of the best epoch.",
    "return_sequences": "Return the output of every step, not the last one's.",
    "return_state": "Return the last state too, as further results.",
    "go_backwards": "Read the steps from the last to the first.",
    "save_best_only": "Save only epochs that are better than all before.",
    "seed": "Of its own random numbers; null: follows from the run's seed.",
    "sparse_y_pred": "Predictions are class numbers, not a value for each class.",
    "sparse_y_true": "Targets are class numbers, not a value for each class.",
    "staircase": "The rate falls in steps, not smoothly.",
    "stateful": "Start each batch from the state that the one before ended in.",
    "strides": "How far the window moves; null: by its size.",
    "target_class_ids": "The classes that count.",
    "target_shape": "The new shape, without the batch axis; one size may be -1: what is left.",
    "thresholds": "From which value on a prediction counts as positive; null: 0.5, or with top_k none.",
    "top_k": "Only the k highest predictions count as positive.",
    "trainable": "False: its weights keep their values.",
    "unit_forget_bias": "The bias of the forget gate starts from 1.",
    "units": "How many values come out.",
    "unroll": "Accepted as in Keras; it changes nothing.",
    "use_bias": "Add a learned number to each output.",
    "use_ema": "Keep a moving average of the weights.",
    "verbose": "1: say so when it acts.",
    "weight_decay": "The part of each weight that every update takes away.",
}

_OWN = {
    "metric.name": "What logs call it; null: the name that was written.",
    "source.path": "The file with the training rows, relative to the config.",
    "source.validation": "A file with rows of the split 'validation'.",
    "source.test": "A file with rows of the split 'test'.",
    "layer.dropout.rate": "The fraction of values that is dropped in training.",
    "layer.gaussian_dropout.rate": "As dropout's rate: the noise has the standard deviation sqrt(rate / (1 - rate)).",
    "layer.gaussian_noise.stddev": "The standard deviation of the noise.",
    "layer.lstm.dropout": "The fraction of the inputs that is dropped in training, the same at every step.",
    "layer.embedding.input_dim": "How many words there are: the largest number plus 1.",
    "layer.embedding.output_dim": "The size of a word's vector.",
    "layer.embedding.mask_zero": "0 is no word: steps that have it are skipped by what follows.",
    "layer.masking.mask_value": "Steps that have nothing but this value are skipped by what follows.",
    "layer.permute.dims": "The old axes in their new order, counted from 1.",
    "layer.repeat_vector.n": "How many times.",
    "layer.dot.axes": "The axis of each input that is multiplied and summed over.",
    "layer.dot.normalize": "Scale both to length 1 first.",
    "layer.strides": "How far the window moves.",
    "layer.scale": "Multiply by a learned factor.",
    "layer.batch_normalization.momentum": "How slowly the running mean and variance forget.",
    "layer.lstm.activation": "The activation of the memory and of the output.",
    "optimizer.momentum": "The part of the last step that is taken again.",
    "optimizer.sgd.momentum": "The part of the last step that is taken again; 0: plain descent.",
    "optimizer.rho": "How slowly the mean of squared gradients forgets.",
    "optimizer.rmsprop.centered": "Divide by the deviation of the gradients instead of their size.",
    "callback.mode": "Which way is better; auto: known from the figure.",
    "callback.min_delta": "By how much a figure has to be better to count.",
    "callback.early_stopping.baseline": "The figure that has to be reached first.",
    "callback.early_stopping.start_from_epoch": "Epochs before the watching begins.",
    "callback.reduce_lr_on_plateau.factor": "What the rate is multiplied by.",
    "callback.reduce_lr_on_plateau.cooldown": "Epochs to wait after the rate fell.",
    "callback.reduce_lr_on_plateau.min_lr": "The rate falls no lower.",
    "callback.model_checkpoint.initial_value_threshold": "The figure that has to be beaten first.",
    "callback.csv_logger.filename": "The file, inside the run's folder.",
    "callback.learning_rate_scheduler.schedule": "A formula over 'epoch' and 'lr', a list of [from epoch, rate], a schedule.",
    "transform.rescaling.scale": "What values are multiplied by.",
    "transform.rescaling.offset": "What is added after that.",
    "transform.normalization.mean": "The means; null: learned from the training rows.",
    "transform.normalization.variance": "The variances; null: learned from the training rows.",
    "transform.vocabulary": "The known values; null: learned from the training rows.",
    "transform.output_mode": "A number, a vector with a 1 at the value, with a 1 at each, or with counts.",
    "transform.to_categorical.num_classes": "The length of the vectors; null: known from the data.",
    "fit.batch_size": "Rows that an update is made from.",
    "fit.validation_steps": "Batches of a validation; null: all.",
    "fit.validation_batch_size": "Null: as batch_size.",
    "fit.steps_per_epoch": "Batches of an epoch; null: all.",
    "fit.initial_epoch": "Epochs that count as done already.",
    "fit.shuffle": "A new order of the training rows in every epoch.",
    "fit.callbacks": "Who watches the epochs, and stops, saves or sets the rate.",
    "data.source": "Where the columns come from.",
    "data.split": "Parts of the training rows that are set aside for other splits.",
    "data.shared": "Transforms by name, learned once for all pipelines that use them.",
    "data.inputs": "What the model is given, by name: a pipeline over columns.",
    "data.targets": "What the model is to predict, by name: a pipeline over columns.",
    "split.validation": "The fraction of the training rows that becomes the split 'validation'.",
    "split.test": "The fraction of the training rows that becomes the split 'test'.",
    "transform.impute.strategy": "What a missing value is replaced by.",
}  # fmt: skip


def meaning(cls: type[BaseModel], field: str, kind: str | None = None) -> str:
    """What is documented of a field of `cls`, a component of `kind`; empty where nothing is."""
    own = attribute_docs(cls).get(field)
    if own is not None:
        return own
    name = getattr(cls, "component_name", "")
    spellings = (f"{kind}.{name}.{field}", f"{kind}.{field}")
    return next((_OWN[spelling] for spelling in spellings if spelling in _OWN), _SHARED.get(field, ""))


def attribute_docs(cls: type) -> dict[str, str]:
    """Docstrings that stand below the fields of a class and its bases; the nearest wins."""
    docs: dict[str, str] = {}
    for base in cls.__mro__:
        docs = {**_docs_of(base), **docs} if base.__module__ not in {"builtins", "abc", "typing"} else docs
    return docs


@cache
def _docs_of(cls: type) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError):  # made at run time: there is no text
        return {}
    docs: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in zip(statements, statements[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                docs[name] = inspect.cleandoc(text)
    return docs
