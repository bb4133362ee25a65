"""The device that a trial runs on: its name, its arithmetic and its peak memory."""

import contextlib
import re
import resource
import sys
from pathlib import Path

import torch


def choose_device(gpus: float = 1.0) -> torch.device:
    """A GPU where there is one, unless a trial asks for none."""
    return torch.device("cuda" if torch.cuda.is_available() and gpus > 0 else "cpu")


def gpu_fault() -> str:
    """Why the GPU of a trial cannot be used in this process; "" where it can. One without free memory can: whoever
    takes it may leave."""
    if not torch.cuda.is_available():
        why = "is built without CUDA" if torch.version.cuda is None else "finds none"
        return f"a trial was given a GPU, but torch {torch.__version__} {why}"
    try:
        torch.zeros(1, device="cuda").item()
    except torch.OutOfMemoryError:
        return ""
    except RuntimeError as error:
        return f"a trial was given a GPU that cannot be used ({str(error).partition(chr(10))[0]})"
    return ""


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def num_workers(given: int | None, cpus: float, device: torch.device) -> int:
    """Data loader processes of a trial: those given; otherwise one for each whole cpu while a GPU trains, and none
    where the trial trains on its cpus itself."""
    if given is not None:
        return given
    return int(cpus) if device.type == "cuda" else 0


def arithmetic_of(device: torch.device) -> str:
    """What float32 means on a device. torch's defaults are kept, as in the authors' code: on a GPU, matrix products are
    true float32, and convolutions may use TF32 (10 bits of mantissa)."""
    if device.type != "cuda":
        return "float32"
    matrices = "TF32" if torch.backends.cuda.matmul.allow_tf32 else "float32"
    convolutions = "TF32" if torch.backends.cudnn.allow_tf32 else "float32"
    return f"matrix products {matrices}, convolutions {convolutions}"


def forget_peak(device: torch.device) -> None:
    """Start counting anew: a worker runs one trial after another, and none should inherit another's peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # Linux alone can; elsewhere the peak is that of the process so far
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU what torch had allocated at its peak, without one all that the process held at its own."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return 1024 * int(found[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes


def wait_for(device: torch.device) -> None:
    """Wait until the device has done its queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
