"""A weight matrix -> an adapter. Needs torch, scipy and safetensors only: this folder can be taken alone."""

from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.adapter_files import load_adapter, save_adapter, save_peft
from recyclelora.adapters.diagnostics import DEFINITIONS, back_at_start, measure, measure_model, summarise
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
from recyclelora.adapters.lowrank import ENDS, INITS, Directions, Factors, lowrank
from recyclelora.adapters.rein_tokens import Reins, attach_rein, load_rein, rein_parameters, reins_of, save_rein
from recyclelora.adapters.roles import EVERY_LINEAR, ROLES, Target, linears, select

__all__ = ["DEFINITIONS", "ENDS", "EVERY_LINEAR", "INITS", "ROLES", "Adaptation", "AdapterError", "Directions",
           "DualLoRALinear", "Factors", "Reins", "Target", "adapt", "adapted_layers", "adapter_parameters",
           "attach_rein", "back_at_start", "base_digest", "linears", "load_adapter", "load_rein", "lowrank",
           "measure", "measure_model", "merge", "merged", "rein_parameters", "reins_of", "save_adapter", "save_peft",
           "save_rein", "select", "summarise"]
