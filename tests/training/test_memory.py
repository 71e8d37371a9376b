import pytest
import torch

from dashseg.errors import InputError
from dashseg.training import run as training_run
from dashseg.training.memory import largest_batch, release
from dashseg.training.module import SegmentationModule
from dashseg.training.run import train_run


@pytest.mark.parametrize(
    ("capacity", "fits"),
    [(1000, 8), (150, 0), (1e6, 15)],  # 0.92 × 1000 − 100 − 20 is room for 8 frames of 100
)
def test_a_batch_is_as_large_as_frames_fit_beside_what_does_not_grow(capacity, fits):
    assert largest_batch(lambda count: 100 + 100 * count, int(capacity), 20, tried=16) == fits


def test_a_failed_steps_tensors_are_let_go():
    alive = []

    def fail():
        tensor = torch.zeros(3)
        alive.append(torch._C._WeakTensorRef(tensor))
        raise torch.OutOfMemoryError("simulated")

    try:
        fail()
    except torch.OutOfMemoryError as error:
        assert not alive[0].expired()
        release(error)
        assert alive[0].expired()


def _bytes_kept_for_backward(step, device):
    """A CPU's stand-in for a GPU's peak: what the step's forward pass keeps."""
    kept = []

    def keep(tensor):
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(kept)


def test_out_of_memory_says_which_batch_size_would_fit(tmp_path, tiny_recipe, monkeypatch):
    seen = {}

    def fail(self, batch, batch_idx):
        self._size = tuple(batch.image.shape[-2:])
        sizes = {}
        for count in (1, 2, 3, 4):
            step = lambda count=count: self.blank_step(count)  # noqa: E731
            sizes[count] = _bytes_kept_for_backward(step, self.device)
        seen.update(sizes, state=2 * sum(p.nbytes for p in self.parameters()))
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(SegmentationModule, "training_step", fail)
    monkeypatch.setattr(training_run, "peak_on_gpu", _bytes_kept_for_backward)

    def three_and_a_half_frames(device):  # beside the optimiser's state, and what is left to spare
        return int((seen[3] + (seen[4] - seen[3]) / 2 + seen["state"]) / 0.92)

    monkeypatch.setattr(training_run, "capacity_of_gpu", three_and_a_half_frames)
    with pytest.raises(InputError, match=r"of 4 frames, 3 would fit: --set training.batch_size=3"):
        train_run(tiny_recipe(), tmp_path / "run", say=lambda text: None)
    assert seen[4] - seen[3] == pytest.approx(seen[3] - seen[2])  # a frame is a frame


def test_it_is_measured_where_it_was_trained(tmp_path, tiny_recipe, monkeypatch):
    """When Lightning passes an error on, it has moved the network to the CPU."""
    calls = []

    def fail(self, batch, batch_idx):
        self._size = tuple(batch.image.shape[-2:])
        raise torch.OutOfMemoryError("simulated")

    def moved(self, *where, to=SegmentationModule.to):
        calls.append(f"to {where[0]}")
        return to(self, *where)

    def to_cpu(self, cpu=SegmentationModule.cpu):
        calls.append("off the GPU")
        return cpu(self)

    def measured(step, device):
        calls.append(f"a step on {device}")
        return 1000

    monkeypatch.setattr(SegmentationModule, "training_step", fail)
    monkeypatch.setattr(SegmentationModule, "to", moved)
    monkeypatch.setattr(SegmentationModule, "cpu", to_cpu)
    monkeypatch.setattr(training_run, "peak_on_gpu", measured)
    monkeypatch.setattr(training_run, "capacity_of_gpu", lambda device: 10**12)
    with pytest.raises(InputError, match="would fit"):
        train_run(tiny_recipe(), tmp_path / "run", say=lambda text: None)
    after = calls[calls.index("off the GPU") :]
    assert after[-3:] == ["to cpu", "a step on cpu", "a step on cpu"]


def test_where_there_was_no_step_yet_nothing_is_measured(tmp_path, tiny_recipe, monkeypatch):
    def fail(self):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(SegmentationModule, "configure_optimizers", fail)
    with pytest.raises(InputError, match=r"the GPU's memory is full: .*augment\.crop$"):
        train_run(tiny_recipe(), tmp_path / "run", say=lambda text: None)


def test_out_of_memory_in_validation_says_so_too(tmp_path, tiny_recipe, monkeypatch):
    def fail(self, batch, batch_idx):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(SegmentationModule, "validation_step", fail)
    monkeypatch.setattr(training_run, "peak_on_gpu", _bytes_kept_for_backward)
    monkeypatch.setattr(training_run, "capacity_of_gpu", lambda device: 10**12)
    recipe = tiny_recipe("loss.auxiliary=0.4", "training.epochs=1", "training.ema_decay=0.9")
    with pytest.raises(InputError, match=r"of 4 frames, 3 would fit"):
        train_run(recipe, tmp_path / "run", say=lambda text: None)


def test_where_not_even_one_frame_fits_the_crop_is_the_way_out(tmp_path, tiny_recipe, monkeypatch):
    def fail(self, batch, batch_idx):
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(SegmentationModule, "training_step", fail)
    monkeypatch.setattr(training_run, "peak_on_gpu", _bytes_kept_for_backward)
    monkeypatch.setattr(training_run, "capacity_of_gpu", lambda device: 1000)
    with pytest.raises(InputError, match=r"not even one frame fits: augment.crop"):
        train_run(tiny_recipe(), tmp_path / "run", say=lambda text: None)
