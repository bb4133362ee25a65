"""The adapters taken without the rest: two things copied, on a system without fcntl, timm and all our other rooms."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = '''
import builtins, sys
from pathlib import Path

for absent in ("timm", "fcntl", "pydantic", "yaml", "rich", "mlflow", "ray", "transformers", "PIL", "peft", "pandas"):
    sys.modules[absent] = None

import torch
from torch import nn
import recyclelora.adapters as adapters
from recyclelora.adapters import (adapt, adapted_layers, attach_rein, load_adapter, load_rein, measure_model, merge,
                                  merged, save_adapter, save_peft, save_rein)

folder = Path(sys.argv[1])
assert Path(adapters.__file__).is_relative_to(folder), adapters.__file__


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj((q @ k.mT).softmax(-1) @ v)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.mlp = Attention(), Mlp()

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.mlp(x)


class Patches(nn.Module):
    patch_size = (4, 4)


class Tiny(nn.Module):
    embed_dim = 16

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patch_embed, self.blocks = Patches(), nn.Sequential(Block(), Block())

    def forward(self, x):
        return self.blocks(x)


x = torch.randn(2, 5, 16)
plain, vit = Tiny(), Tiny()
for init in ("rrqr", "svd", "kaiming"):
    vit, loaded = Tiny(), Tiny()
    assert len(adapt(vit, init=init, main_rank=3, sub_rank=2, cache=folder / "cache")) == 8
    assert torch.allclose(vit(x), plain(x), atol=1e-5)
    vit(x).square().sum().backward()
    with torch.no_grad():
        for parameter in vit.parameters():
            if parameter.requires_grad:
                parameter -= 0.01 * parameter.grad
    save_adapter(vit, folder / f"{init}.safetensors")
    load_adapter(loaded, folder / f"{init}.safetensors")
    assert torch.equal(loaded(x), vit(x)) and not torch.equal(vit(x), plain(x))
    with merged(loaded):
        assert torch.allclose(loaded(x), vit(x), atol=1e-5)
    save_peft(loaded, folder / f"peft-{init}")
    assert len(measure_model(loaded)) == 8
    merge(loaded)
    assert torch.allclose(loaded(x), vit(x), atol=1e-5) and not adapted_layers(loaded)
tokens, again = Tiny(), Tiny()
attach_rein(tokens, tokens=4, rank=2, query_width=None)
save_rein(tokens, folder / "rein.safetensors")
load_rein(again, folder / "rein.safetensors")
assert torch.equal(tokens(x), again(x))
loaded = sorted(name for name in sys.modules if name.startswith("recyclelora") and sys.modules[name] is not None)
assert all(name.startswith(("recyclelora.adapters", "recyclelora.writing")) or name == "recyclelora" for name in loaded)
print("alone", len(list((folder / "cache").rglob("*.safetensors"))))
'''


def test_the_adapters_alone_on_a_system_without_fcntl(tmp_path: Path) -> None:
    package = tmp_path / "recyclelora"
    shutil.copytree(ROOT / "recyclelora" / "adapters", package / "adapters", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "recyclelora" / "writing.py", package)
    (package / "__init__.py").touch()
    (tmp_path / "program.py").write_text(PROGRAM)
    # the script's folder is first on the path, and PYTHONPATH, which names this checkout, is left out
    done = subprocess.run([sys.executable, "program.py", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True,
                          env={"PATH": "", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alone 16"  # rrqr's and svd's factorisations of 8 layers
