"""What a LoRA configuration costs on an architecture: the numbers, and how they are written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class MatrixKind:
    """Matrices that sit at the same place of every block.

    Attributes:
        name: full module name with ``*`` for the layer number.
        shape: (out, in).
        in_model: how many the base model has.
        adapted: how many of them get an adapter.
        adapter_parameters: of one adapter, r (out + in); 0 where none is adapted.
    """

    name: str
    shape: tuple[int, int]
    in_model: int
    adapted: int
    adapter_parameters: int


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds for the parameters; activations come on top.

    Attributes:
        weights: float32, frozen ones included.
        gradients: float32, of trainable parameters.
        optimizer: AdamW's two float32 moments of each trainable parameter.
    """

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class Count:
    """The exact cost of one LoRA configuration on one architecture.

    Attributes:
        model: built-in name, or the ``model_type`` of a given configuration.
        rank: r.
        base_parameters: pre-trained parameters, without task head or language-model head.
        adapter_parameters: all A and B, without the head (as papers and PEFT count).
        head_parameters: the classification head; 0 if counted without one.
        train_head: whether the head learns too.
        matrices: every kind of linear layer in the blocks, and any other that is adapted.
        note: what a reader has to know about the number; empty if nothing.
    """

    model: str
    rank: int
    base_parameters: int
    adapter_parameters: int
    head_parameters: int
    train_head: bool
    matrices: tuple[MatrixKind, ...]
    note: str = ""

    @property
    def trainable_parameters(self) -> int:
        return self.adapter_parameters + (self.head_parameters if self.train_head else 0)

    @property
    def frozen_parameters(self) -> int:
        return self.base_parameters + (0 if self.train_head else self.head_parameters)

    @property
    def share(self) -> float:
        """Trainable parameters among all, 0 to 1, as PEFT's ``print_trainable_parameters``."""
        return self.trainable_parameters / (self.trainable_parameters + self.frozen_parameters)

    @property
    def adapted_matrices(self) -> int:
        return sum(kind.adapted for kind in self.matrices)

    def adapter_file_bytes(self, dtype: str = "float32", *, head: bool = False) -> int:
        """Tensor data of a safetensors file with the adapter, and with the head if asked for.

        The file is longer by its header: 8 bytes and a JSON text of about 100 bytes a tensor.
        """
        parameters = self.adapter_parameters + (self.head_parameters if head else 0)
        return parameters * _bytes_per_number(dtype)

    def model_file_bytes(self, dtype: str = "float32") -> int:
        """Tensor data of a file with the whole fine-tuned model: base and head."""
        return (self.base_parameters + self.head_parameters) * _bytes_per_number(dtype)

    @property
    def lora_memory(self) -> Memory:
        every = self.base_parameters + self.head_parameters + self.adapter_parameters
        return _memory(every, trainable=self.trainable_parameters)

    @property
    def full_memory(self) -> Memory:
        """The same for full fine-tuning, which trains base and head and has no adapter."""
        every = self.base_parameters + self.head_parameters
        return _memory(every, trainable=every)

    def as_dict(self) -> dict[str, Any]:
        """Everything, derived numbers included, ready for JSON."""
        return asdict(self) | {
            "matrices": [asdict(kind) | {"shape": list(kind.shape)} for kind in self.matrices],
            "trainable_parameters": self.trainable_parameters,
            "frozen_parameters": self.frozen_parameters,
            "share": self.share,
            "adapted_matrices": self.adapted_matrices,
            "adapter_file_bytes": {d: self.adapter_file_bytes(d) for d in ("float32", "float16")},
            "model_file_bytes": {d: self.model_file_bytes(d) for d in ("float32", "float16")},
            "lora_memory": asdict(self.lora_memory) | {"total": self.lora_memory.total},
            "full_memory": asdict(self.full_memory) | {"total": self.full_memory.total},
        }

    def table(self) -> str:
        """The same as text, for reading."""
        head = f"{self.head_parameters:,} ({'trained' if self.train_head else 'frozen'})"
        files = " / ".join(size(self.adapter_file_bytes(d)) for d in ("float32", "float16"))
        lines = [
            f"{self.model}, LoRA of rank {self.rank} on {self.adapted_matrices} matrices",
            f"  base        {self.base_parameters:,}",
            f"  adapter     {self.adapter_parameters:,} ({files} in float32 / float16)",
            f"  head        {head}",
            f"  trainable   {self.trainable_parameters:,} ({self.share:.3%} of all)",
            f"{'Training memory without activations':<36}{'LoRA':>12}{'full fine-tuning':>18}",
        ]
        for part in ("weights", "gradients", "optimizer", "total"):
            lora, full = (size(getattr(m, part)) for m in (self.lora_memory, self.full_memory))
            lines.append(f"  {part:<34}{lora:>12}{full:>18}")
        width = max(len(kind.name) for kind in self.matrices)
        lines.append(f"{'Matrix':<{width}}{'out x in':>17}{'adapted':>12}  parameters each")
        for kind in self.matrices:
            shape, number = "{} x {}".format(*kind.shape), f"{kind.adapted} of {kind.in_model}"
            each = f"{kind.adapter_parameters:,}"
            lines.append(f"{kind.name:<{width}}{shape:>17}{number:>12}{each:>17}")
        return "\n".join(lines + ([f"Note: {self.note}"] if self.note else []))


def _memory(parameters: int, *, trainable: int) -> Memory:
    float32 = BYTES["float32"]
    return Memory(parameters * float32, trainable * float32, trainable * 2 * float32)


def _bytes_per_number(dtype: str) -> int:
    if dtype not in BYTES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(BYTES)}.")
    return BYTES[dtype]


def size(number: int) -> str:
    """Bytes for reading, in decimal units: 37.7 MB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} B"
