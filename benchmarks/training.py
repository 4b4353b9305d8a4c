"""How near `fit` comes to what the hardware can do, and how two other ways of training do beside.

    python benchmarks/training.py ../shared/data/dsb2018/stage1_train.zip \
        [--out benchmarks/results/training.txt]

Four ways train the same network on patches of the same images:

a  the limit: forward, backward and optimiser step on one batch that never leaves the device, with
   the precision, memory format, optimiser and allocator of `fit`, and PyTorch's own cross-entropy;
b  `fit` with everything on: patches cut at random places, augmentation (preset "light"), Dice loss
   and cross-entropy, events, run folder. Steps of training only: validation, checkpoints and
   previews lie between epochs and are not inside;
c  Lightning's Trainer with a DataLoader of two workers, torchvision's v2 transforms (as (b), but
   vertical flips for quarter turns, which v2 does not have), smp's Dice loss and cross-entropy, and
   the precision of (a) and (b);
d  a plain loop in the manner of published notebooks: the same DataLoader, single precision, Adam,
   and `loss.item()` in every step.

The images are decoded before, in all of them. Each way runs in a process of its own, and the four
take turns: in every round each trains for some seconds while the others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from pixelwise.config import TrainConfig

NETWORKS = {
    "U-Net": ("unet", None),
    "U-Net + mobilenet_v2": ("unet", "mobilenet_v2"),
    "UNet++ + efficientnet-b4": ("unetplusplus", "efficientnet-b4"),
    "SegNet": ("segnet", None),
    "DeepLabV3 + mobilenet_v2": ("deeplabv3", "mobilenet_v2"),
    "R2U-Net": ("r2unet", None),
    "DDU-Net": ("ddunet", None),
}
WORKERS = 2
RATE = 1e-3
WARM_STEPS, WARM_SECONDS = 2, 1.0
Network = torch.nn.Module


@dataclass
class Clock:
    """A child's side of the measurement: counts steps while it is its turn, else waits."""

    seconds: float
    device: torch.device
    steps: int = 0
    taken: float = 0.0
    processor: float = 0.0
    warm: bool = False
    last: float = field(default_factory=time.perf_counter)
    last_processor: float = field(default_factory=time.process_time)

    def count(self, steps: int) -> None:
        """Take note of steps that are done; wait for the next turn when this one is over."""
        self.steps += steps
        self.taken += time.perf_counter() - self.last
        self.processor += time.process_time() - self.last_processor
        if self.is_over():
            if self.device.type == "cuda":
                torch.cuda.synchronize()
                self.taken += time.perf_counter() - self.last
            self.wait()
        self.skip()

    def skip(self) -> None:
        """Leave out the time since the last step: it was no training."""
        self.last, self.last_processor = time.perf_counter(), time.process_time()

    def is_over(self) -> bool:
        """Whether the turn, or the warm-up before the first, has lasted long enough."""
        if self.warm:
            return self.taken >= self.seconds
        return self.steps >= WARM_STEPS and self.taken >= WARM_SECONDS

    def wait(self) -> None:
        """Report, and go on when told to; end the process when told nothing more."""
        figures = {"steps": self.steps, "seconds": self.taken, "processor": self.processor}
        print(json.dumps(figures | {"bytes": self.peak()}), flush=True)
        if not sys.stdin.readline():
            os._exit(0)  # some ways have no other exit than their end
        self.steps, self.taken, self.processor, self.warm = 0, 0.0, 0.0, True

    def peak(self) -> int:
        """Largest memory so far, in bytes: of the GPU, or of this process without its workers."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Patches(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Patches at random places of images in memory, each changed by itself."""

    def __init__(self, config: Any) -> None:
        from pixelwise.datasets import load_dataset
        from pixelwise.patches.decoded_images import read_decoded_images

        data = load_dataset(config.data)
        self.planes = read_decoded_images(
            data.split(config.data.validation_fraction, seed=config.data.split_seed)[0].samples
        )
        self.size = config.patches.size[0]
        areas = [-(-p.mask.shape[0] // self.size) * -(-p.mask.shape[1] // self.size)
                 for p in self.planes]  # fmt: skip
        self.owners = np.repeat(np.arange(len(self.planes)), areas)
        self.change = create_transforms(self.planes)

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        from torchvision import tv_tensors

        plane = self.planes[self.owners[number]]
        y, x = (int(torch.randint(n - self.size + 1, ())) for n in plane.mask.shape)
        area = slice(y, y + self.size), slice(x, x + self.size)
        image = tv_tensors.Image(torch.from_numpy(plane.image[:, *area].copy()))
        mask = tv_tensors.Mask(torch.from_numpy(plane.mask[area].copy()))
        changed: tuple[torch.Tensor, torch.Tensor] = self.change(image, mask)
        return changed[0], changed[1].long()


def create_transforms(planes: list[Any]) -> Any:
    """Make transforms of torchvision that do what the preset "light" does."""
    from torchvision.transforms import v2

    pixels = np.concatenate([p.image.reshape(3, -1)[:, ::97] for p in planes], axis=1) / 255
    return v2.Compose([
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.ColorJitter(brightness=0.1, contrast=0.1),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(pixels.mean(axis=1).tolist(), pixels.std(axis=1).tolist()),
    ])  # fmt: skip


def create_loader(config: Any, device: torch.device) -> Any:
    """Loader that never leaves its workers idle."""
    return torch.utils.data.DataLoader(
        Patches(config),
        batch_size=config.training.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )


def create_network(config: Any) -> Network:
    """Network of three channels and two classes."""
    from pixelwise.models.registry import create_model

    return create_model(config.model.name, 3, classes=2, encoder=config.model.encoder)


def train_at_the_limit(config: Any, device: torch.device, clock: Clock) -> None:
    """Way a: one batch, over and over."""
    from pixelwise.models.allocator import keeping_freed_memory
    from pixelwise.training.compute import choose_training_compute

    compute = choose_training_compute(config)
    torch.backends.cudnn.benchmark = True
    network = create_network(config).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "fp16")
    size, count = config.patches.size, config.training.batch_size
    image = torch.randn(count, 3, *size, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    mask = torch.randint(2, (count, *size), device=device)
    with keeping_freed_memory():
        while True:
            optimizer.zero_grad(set_to_none=True)
            with compute.autocast():
                logits = network(image)
            scaler.scale(F.cross_entropy(logits.float(), mask)).backward()
            scaler.step(optimizer)
            scaler.update()
            clock.count(1)


def train_with_fit(config: Any, _device: torch.device, clock: Clock) -> None:
    """Way b: this project's loop; it reports twice a second, with the number of the step."""
    from pixelwise.events import StepsDone
    from pixelwise.training.fit import fit

    epoch = step = 0
    for event in fit(config):
        if isinstance(event, StepsDone) and event.epoch == epoch:
            clock.count(event.step - step)
            step = event.step
        elif isinstance(event, StepsDone):  # what an epoch ends with lies before this first report
            epoch, step = event.epoch, event.step
            clock.skip()
        else:
            clock.skip()


def train_with_lightning(config: Any, device: torch.device, clock: Clock) -> None:
    """Way c: Lightning's Trainer."""
    import lightning
    import segmentation_models_pytorch as smp

    from pixelwise.training.compute import choose_training_compute

    dice = smp.losses.DiceLoss("multiclass", ignore_index=255)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = create_network(config)

        def training_step(self, batch: Any, _number: int) -> torch.Tensor:
            logits = self.network(batch[0])
            loss = dice(logits, batch[1]) + F.cross_entropy(logits, batch[1], ignore_index=255)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE)

        def on_train_batch_end(self, *_: object) -> None:
            clock.count(1)

    trainer = lightning.Trainer(
        accelerator=device.type,
        devices=1,
        precision=choose_training_compute(config).fabric_precision,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), create_loader(config, device))


def train_by_hand(config: Any, device: torch.device, clock: Clock) -> None:
    """Way d: the loop of many notebooks."""
    network = create_network(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    loader, total = create_loader(config, device), 0.0
    while True:
        for image, mask in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(image.to(device)), mask.to(device), ignore_index=255)
            loss.backward()
            optimizer.step()
            total += loss.item()
            clock.count(1)


WAYS = {
    "a": train_at_the_limit,
    "b": train_with_fit,
    "c": train_with_lightning,
    "d": train_by_hand,
}


def create_config(network: str, arguments: argparse.Namespace, folder: Path) -> TrainConfig:
    """Config of a training that goes on until it is stopped."""
    from pixelwise.config import TrainConfig

    name, encoder = NETWORKS[network]
    return TrainConfig.create(
        run=folder / "run",
        data={"path": arguments.data, "layout": "dsb2018"},
        patches={"size": arguments.patch},
        model={"name": name, "encoder": encoder},
        training={
            "batch_size": arguments.batch,
            "epochs": 100_000,
            "device": arguments.device,
            "previews": 0,
            "learning_rate": RATE,
        },
    )


def train(way: str, arguments: argparse.Namespace) -> None:
    """Be the child process of one way."""
    # Lightning's advice on more workers and the like; it must not mix with the figures.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        config = create_config(arguments.networks[0], arguments, Path(folder))
        device = torch.device(arguments.device)
        WAYS[way](config, device, Clock(arguments.seconds, device))


@dataclass
class Child:
    """The parent's side of one way."""

    process: subprocess.Popen[str]
    speeds: list[float] = field(default_factory=list)
    efforts: list[float] = field(default_factory=list)
    peak: int = 0

    def read(self) -> dict[str, float]:
        """Wait for the child's next report."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"steps"'):
                return dict(json.loads(line))
        raise SystemExit(f"{self.process.args} ended before it was measured")

    def measure(self, batch: int) -> None:
        """Give the child its turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        figures = self.read()
        self.speeds.append(figures["steps"] * batch / figures["seconds"])
        self.efforts.append(figures["processor"] / figures["steps"])
        self.peak = int(figures["bytes"])

    def end(self) -> None:
        """Let the child go."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def start(way: str, network: str, arguments: argparse.Namespace) -> Child:
    """Start a child and wait until it is warm."""
    command = [sys.executable, "-W", "ignore", __file__, str(arguments.data), "--way", way]
    command += ["--networks", network, "--device", arguments.device]
    for name in ("patch", "batch", "seconds"):
        command += [f"--{name}", str(getattr(arguments, name))]
    pipe = subprocess.PIPE
    errors = None if arguments.verbose else subprocess.DEVNULL
    child = Child(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True))
    child.read()
    return child


def measure(network: str, arguments: argparse.Namespace) -> dict[str, Child]:
    """Measure all ways of one network in turns."""
    children = {way: start(way, network, arguments) for way in WAYS}
    for _ in range(arguments.rounds):
        for child in children.values():
            child.measure(arguments.batch)
    for child in children.values():
        child.end()
    return children


def describe(network: str, children: dict[str, Child]) -> str:
    """Write one line of the table."""
    speeds = {way: statistics.median(child.speeds) for way, child in children.items()}
    ratios = [divide(children["b"].speeds, children[way].speeds) for way in "acd"]
    ratios.append(divide(children["a"].efforts, children["b"].efforts))
    return (
        f"{network:26}"
        + "".join(f"{speed:8.2f}" for speed in speeds.values())
        + "".join(f"{ratio:7.3f}" for ratio in ratios)
        + "".join(f"{child.peak / 2**30:7.2f}" for child in children.values())
    )


def divide(upper: list[float], lower: list[float]) -> float:
    """Median of the ratios of each round."""
    return statistics.median(u / x for u, x in zip(upper, lower, strict=True))


def iter_lines(arguments: argparse.Namespace) -> Iterator[str]:
    """Measure everything, and write the machine and the table as they come."""
    started = time.perf_counter()
    command = ["python", "benchmarks/training.py", *sys.argv[1:]]
    yield f"{machine(arguments.device)}"
    yield (
        f"Patches of {arguments.patch} px, {arguments.batch} a step, {arguments.images} images of "
        f"DSB2018; {arguments.rounds} rounds of {arguments.seconds:g} s, taken in turns."
    )
    yield "Patches per second: median of the rounds. Ratios: median of those of each round."
    yield "CPU: b/a by the processor's time, which other processes disturb less than the clock."
    yield "Peak memory in GiB: of the GPU; on a CPU of the process, without a DataLoader's workers."
    yield "Only steps of training count; no validation is inside."
    yield describe_formats(arguments)
    yield "a: limit, b: fit, c: Lightning's Trainer + DataLoader, d: plain loop + DataLoader."
    yield ""
    ratios = [*(f"b/{way}" for way in "acd"), "CPU", *(f"GiB {way}" for way in WAYS)]
    yield "".join([f"{'network':26}", *(f"{way:>8}" for way in WAYS), *(f"{r:>7}" for r in ratios)])
    for network in arguments.networks:
        yield describe(network, measure(network, arguments))
    yield ""
    if not torch.cuda.is_available():
        yield "GPU: not measured: no GPU at hand."
    yield f"In {(time.perf_counter() - started) / 60:.1f} min: {shlex.join(command)}"


def describe_formats(arguments: argparse.Namespace) -> str:
    """Tell the number formats of the networks, which (a), (b) and (c) share."""
    from pixelwise.training.compute import choose_training_compute

    names = dict[str, list[str]]()
    for network in arguments.networks:
        compute = choose_training_compute(create_config(network, arguments, Path()))
        names.setdefault(compute.precision, []).append(network)
    formats = (f"{precision} for {', '.join(each)}" for precision, each in names.items())
    return f"Number formats of a, b and c: {'; '.join(formats)}. d: fp32."


def machine(device: str) -> str:
    """Processor, cores, GPU and versions."""
    info, cpu = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.is_file():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
    gpu = f"{torch.cuda.get_device_name(device)}, " if device.startswith("cuda") else ""
    return (
        f"{gpu}{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def unpack(archive: Path, folder: Path, *, images: int) -> Path:
    """Unpack some images of ``stage1_train.zip``, drawn with a seed."""
    with zipfile.ZipFile(archive) as file:
        ids = sorted({Path(name).parts[1] for name in file.namelist()})
        chosen = set(np.random.default_rng(0).permutation(ids)[:images].tolist())
        for name in file.namelist():
            if Path(name).parts[1] in chosen:
                file.extract(name, folder)
    return folder / "stage1_train"


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="DSB2018's stage1_train.zip, or such a folder")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--patch", type=int, default=128, help="side of a patch in pixels")
    parser.add_argument("--batch", type=int, default=4, help="patches a step")
    parser.add_argument("--images", type=int, default=48, help="images taken from the archive")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each way in each round")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--verbose", action="store_true", help="show what the children complain of")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        train(arguments.way, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data.is_file():
            arguments.data = unpack(arguments.data, Path(folder), images=arguments.images)
        lines = []
        for line in iter_lines(arguments):
            print(line, flush=True)
            lines.append(line)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
