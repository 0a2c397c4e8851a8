"""Small configs of the kinds of models that are trained on several processes in these tests."""

_FIT = "fit: {epochs: 2, batch_size: 16, shards: 4"
_CLASSES = (
    "compile: {loss: sparse_categorical_crossentropy, optimizer: adam, metrics: [accuracy], jit_compile: false}\n"
)

MLP = f"""
data:
  source: {{blobs: {{rows: 87, features: 4, classes: 3}}}}
  inputs: {{x: [normalization]}}
  targets: {{y: []}}
model: {{layers: [{{dense: {{units: 8, activation: relu}}}}, {{dropout: 0.3}}, {{dense: 3}}, softmax]}}
{_CLASSES}
{_FIT}, validation_split: 0.2}}
"""
"""A network with dropout; its last batch has 6 rows, of which shards have 1 or 2."""

CNN = f"""
data:
  source: {{blobs: {{rows: 50, features: 64, classes: 3}}}}
  inputs: {{x: [{{reshape: [8, 8, 1]}}]}}
  targets: {{y: []}}
model:
  layers:
    - random_flip: horizontal
    - random_rotation: 0.1
    - conv_2d: {{filters: 4, kernel_size: 3, activation: relu}}
    - batch_normalization
    - flatten
    - dense: {{units: 3, activation: softmax}}
{_CLASSES}
{_FIT}}}
"""
"""Convolutions with augmentation and moving statistics; its last batch has 2 rows, so that two shards are empty."""

LSTM = f"""
data:
  source: {{copy_task: {{rows: 40, bits: 3, min_length: 2, length: 5}}}}
  inputs: {{x: []}}
  targets: {{y: []}}
model:
  layers:
    - masking: 0
    - lstm: {{units: 5, return_sequences: true, recurrent_dropout: 0.2}}
    - dense: {{units: 3, activation: sigmoid}}
compile: {{loss: binary_crossentropy, optimizer: {{rmsprop: 0.01}}, metrics: [mae], jit_compile: false}}
{_FIT}}}
"""
"""A recurrent network whose loss is a mean over the steps that are not masked."""

GAN = f"""
data:
  source: {{blobs: {{rows: 70, features: 4, classes: 3, seed: 1}}}}
  inputs: {{x: [normalization]}}
model:
  shared:
    generator: {{inputs: {{z: [3]}}, layers: [{{dense: {{units: 6, activation: relu}}}}, {{dense: 4}}]}}
    critic: {{layers: [{{dense: {{units: 6, activation: leaky_relu}}}}, {{dropout: 0.2}}, {{dense: 1}}]}}
  outputs: generator
{_FIT}
  train_step:
    - name: judge
      train: critic
      optimizer: adam
      repeat: 2
      layers:
        - expr: {{value: "random_normal([batch_size, 3])", name: z}}
        - generator: {{inputs: z, name: fake}}
        - critic: {{inputs: x, name: on_real}}
        - critic: {{inputs: fake, name: on_fake}}
      loss: {{real: {{loss: mse, y_true: 1, y_pred: on_real}}, fake: {{loss: mse, y_true: 0, y_pred: on_fake}}}}
    - name: forge
      train: generator
      optimizer: adam
      layers:
        - expr: {{value: "random_normal([batch_size, 3])", name: z}}
        - generator: {{inputs: z, name: fake}}
        - critic: {{inputs: fake, name: on_fake}}
      loss: {{fooled: {{loss: mse, y_true: 1, y_pred: on_fake}}}}
""".replace("fit: {epochs: 2, batch_size: 16, shards: 4", "fit:\n  epochs: 2\n  batch_size: 16\n  shards: 4")
"""Two updates in a training step, each with random numbers of its own."""

ALL = {"mlp": MLP, "cnn": CNN, "lstm": LSTM, "gan": GAN}
