"""What to compute on, and how precisely: one answer to `device="auto"`, one to `amp="auto"` and `dtype="auto"`, one way to seed it."""

from aa_utils.errors import InputError

KINDS = ("cuda", "mps", "cpu")  # in the order in which "auto" looks for them


def choose(device: str = "auto") -> str:
    """The device to compute on, as torch names it: for "auto" the first of `KINDS` that is here, else `device` itself ("cpu", "cuda:1").

    Errors: InputError for a name that torch does not know, a kind that is not in `KINDS`, and a device that is not here.
    """
    import torch

    here = {"cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0, "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if device == "auto":
        return next(kind for kind in KINDS if here[kind])
    try:
        asked = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        asked = None
    if asked is None or asked.type not in KINDS:
        raise InputError(f"device is {repr(device)[:80]}; it is auto, {', '.join(KINDS)}, or one of several GPUs, such as cuda:1")
    if (asked.index or 0) >= here[asked.type]:
        there = ", ".join(_names(here))
        raise InputError(f"no device '{device}' here: torch sees {there}; set device=auto or one of these")
    return str(asked) if asked.type == "cuda" else asked.type


def kind(device: str = "auto") -> str:
    """ "cuda", "mps" or "cpu": which kind of device `choose` takes, without its number. Errors: as `choose`."""
    return choose(device).partition(":")[0]


def has_bfloat16(device: str = "auto") -> bool:
    """Whether the chosen device multiplies bfloat16 in hardware: Ampere and newer GPUs, CPUs with AVX-512 BF16 or AMX.

    Elsewhere it is emulated, and slower than float32. Apple's GPUs count as without: not measured. Errors: as `choose`.
    """
    import torch

    where = kind(device)
    if where == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return where == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def precision(amp: str, device: str = "auto") -> str:
    """What `amp="auto"` is on the chosen device: "bf16" where it has bfloat16, else "off"; every other value is itself."""
    return ("bf16" if has_bfloat16(device) else "off") if amp == "auto" else amp


def dtype(name: str, device: str = "auto") -> str:
    """What `dtype="auto"` is on the chosen device: "bfloat16" where it has it, else "float32"; every other value is itself."""
    return ("bfloat16" if has_bfloat16(device) else "float32") if name == "auto" else name


def describe(device: str = "auto") -> str:
    """The chosen device for people: with the card's name, or with the number of threads. Errors: as `choose`."""
    import torch

    name = choose(device)
    if name.startswith("cuda"):
        return f"{name} ({torch.cuda.get_device_name(name)})"
    return f"cpu ({torch.get_num_threads()} threads)" if name == "cpu" else name


def seed(value: int, device: str) -> None:
    """Seed torch's generators of the CPU and of `device`, and no others: `torch.manual_seed` visits every kind of device, at each call."""
    import torch

    torch.default_generator.manual_seed(value)
    if device.startswith("cuda"):
        with torch.cuda.device(device):  # manual_seed means the current one
            torch.cuda.manual_seed(value)
    elif device.startswith("mps"):
        torch.mps.manual_seed(value)


def _names(here: dict[str, int]) -> list[str]:
    """Every device that is here, by the name that one would set."""
    numbered = [f"cuda:{k}" for k in range(here["cuda"])]
    return numbered + [name for name in ("mps", "cpu") if here[name]]
