"""Models wrapped by something else: named, with the way to unwrap them."""

from torch import nn

from recyclelora.adapters.adapter_error import AdapterError

_INSIDE = ("module", "_orig_mod")  # DataParallel, DDP, FSDP and averaged models; torch.compile


def check_unwrapped(model: nn.Module) -> None:
    """Raises AdapterError where `model` is a wrapper around the vision transformer (DataParallel, torch.compile, PEFT,
    also one in another), saying how to get at it."""
    if hasattr(model, "peft_config") and hasattr(model, "merge_and_unload"):
        raise AdapterError(f"the model is wrapped by PEFT ({type(model).__name__}); take it off first: "
                           "model = model.merge_and_unload()")
    path, inner = "model", model
    while (step := _step(inner)) is not None:
        path, inner = f"{path}.{step}", getattr(inner, step)
    if path != "model":
        raise AdapterError(f"the model is wrapped ({type(model).__name__}); unwrap it: give {path}, and wrap it again "
                           "afterwards")


def _step(model: nn.Module) -> str | None:
    """The name under which a wrapper keeps its only child; None for a model of its own."""
    children = [name for name, _ in model.named_children()]
    return children[0] if len(children) == 1 and children[0] in _INSIDE else None
