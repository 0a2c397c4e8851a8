"""Attention in half precision on the CPU: the formula's results and gradients, up to the rounding of their type."""

import math

import pytest
import torch

from kerascli.ops.networks import fused_attention
