"""All that the package `recyclelora.adapters` offers."""

from recyclelora.adapters.adaptation import Adaptation
from recyclelora.adapters.adapter_error import AdapterError
from recyclelora.adapters.adapter_files import load_adapter, read_adapter, save_adapter, save_peft
from recyclelora.adapters.diagnostics import DEFINITIONS, back_at_start, measure, measure_model, summarise
from recyclelora.adapters.directions import Directions, lowrank
from recyclelora.adapters.init_names import ENDS
from recyclelora.adapters.inits import INITS, Cut, Factors, Init
from recyclelora.adapters.layer import DualLoRALinear
from recyclelora.adapters.lora import adapt, adapted_layers, adapter_parameters, base_digest, merge, merged
from recyclelora.adapters.rein_tokens import (
           Reins,
           attach_rein,
           load_rein,
           read_rein,
           rein_parameters,
           reins_of,
           save_rein,
)
from recyclelora.adapters.roles import EVERY_LINEAR, ROLES, Target, linears, select

__all__ = ["DEFINITIONS", "ENDS", "EVERY_LINEAR", "INITS", "ROLES", "Adaptation", "AdapterError", "Cut",
           "Directions", "DualLoRALinear", "Factors", "Init", "Reins", "Target", "adapt", "adapted_layers",
           "adapter_parameters", "attach_rein", "back_at_start", "base_digest", "linears", "load_adapter",
           "load_rein", "lowrank", "measure", "measure_model", "merge", "merged", "read_adapter", "read_rein",
           "rein_parameters", "reins_of", "save_adapter", "save_peft", "save_rein", "select", "summarise"]
