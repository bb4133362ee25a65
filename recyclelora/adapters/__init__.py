"""A weight matrix -> an adapter. Needs torch, scipy and safetensors only: this folder can be taken alone."""

from recyclelora.adapters.diagnostics import DEFINITIONS, back_at_start, measure, measure_model, summarise
from recyclelora.adapters.export import load_adapter, save_adapter, save_peft
from recyclelora.adapters.lora import (
    Adaptation,
    DualLoRALinear,
    adapt,
    adapted_layers,
    adapter_parameters,
    base_digest,
    merge,
    merged,
)
from recyclelora.adapters.lowrank import ENDS, INITS, AdapterError, Directions, Factors, lowrank
from recyclelora.adapters.roles import EVERY_LINEAR, ROLES, Target, linears, select

__all__ = ["DEFINITIONS", "ENDS", "EVERY_LINEAR", "INITS", "ROLES", "Adaptation", "AdapterError", "Directions",
           "DualLoRALinear", "Factors", "Target", "adapt", "adapted_layers", "adapter_parameters", "back_at_start",
           "base_digest", "linears", "load_adapter", "lowrank", "measure", "measure_model", "merge", "merged",
           "save_adapter", "save_peft", "select", "summarise"]
