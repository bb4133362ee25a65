"""The paper's size, whole: one training step and one evaluated image of DINOv2-L and of EVA02-L, on a CPU in 24 GiB.

The four combinations with their times are what `python -m tests.measure_full_size` prints; here each batch size and
each backbone occurs once, in a process of its own on two threads: six to seven minutes."""

import pytest

from tests.measure_full_size import IMAGE, Measured, apart, report

pytestmark = pytest.mark.slow
MEMORY_GIB = 24
HEAD = 20_565_204  # Mask2Former at the paper's size on maps 1024 wide, 19 classes


@pytest.fixture(scope="module", params=[("dinov2_large", 4, 14_155_776), ("eva02_large", 1, 36 * 24 * 19_454)],
                ids=lambda param: f"{param[0]}-{param[1]}")
def found(request: pytest.FixtureRequest) -> tuple[Measured, int]:
    model, batch, adapters = request.param
    measured = apart(model, batch, threads=2)
    print(report(measured))
    return measured, adapters


def test_one_step_and_one_image_at_the_papers_size(found: tuple[Measured, int]) -> None:
    measured, adapters = found
    assert (measured.adapters, measured.head) == (adapters, HEAD)
    assert 0 < measured.loss < 1e4
    assert not measured.without_gradient and not measured.frozen_with_gradient
    assert measured.frozen_unchanged
    assert all(name.endswith(("lora_a_main", "lora_a_sub")) for name in measured.unmoved)  # kaiming: B starts at 0
    if measured.model == "dinov2_large":
        assert not measured.unmoved
    assert measured.restored
    assert measured.pixels == IMAGE[0] * IMAGE[1]
    assert measured.peak < MEMORY_GIB
