"""What became of every image that a web service was asked for, one small file each: a run that was killed pays for nothing twice."""

import hashlib
import threading
from pathlib import Path

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate.jobs import Job
from aa_utils.progress import warn

FOLDER = ".service"  # beside the images; hidden, so it is no part of what the folder holds


class Ledger:
    """The entries of the image folder `out`, and how many answers were paid for in it; at most `cap` may be, 0 is no cap."""

    def __init__(self, out: Path, cap: int):
        self.folder, self._out, self._cap = out / FOLDER, out, cap
        before = files.read_json_if_whole(self.folder / "paid.json")
        self.paid = before["answers"] if isinstance(before, dict) and isinstance(before.get("answers"), int) else 0
        self._under_way, self._lock = 0, threading.Lock()

    def entries(self, work: list[Job], settings: dict) -> dict[str, dict]:
        """File name -> entry of the images of `work` that are settled: {"row": …} of one that stands, {"refused": why} of the others.

        An image that is not the one that was written is said, and counts as absent, as does one of another prompt or service.
        """
        found = {}
        for job in work:
            entry = files.read_json_if_whole(self._place(job))
            if not isinstance(entry, dict):
                continue
            told = entry.get("row", entry)
            if not isinstance(told, dict) or told.get("prompt") != job.text:
                continue
            if isinstance(entry.get("refused"), str):
                found[job.file_name] = entry
            elif told.get("revision") == settings["revision"] and (self._out / job.file_name).is_file():
                if hashlib.sha256((self._out / job.file_name).read_bytes()).hexdigest() == entry["row"].get("sha256"):
                    found[job.file_name] = entry
                else:
                    warn(f"'{self._out / job.file_name}' is not the image that was written; it is asked for again")
        self.paid = max(self.paid, sum("row" in entry for entry in found.values()))  # should the count be lost
        return found

    def check_cap(self, lacking: int, price: float) -> None:
        """Errors: InputError if `lacking` images more would pass the cap: said before the first is asked for."""
        if self._cap and self.paid + lacking > self._cap:
            money = f", {(self.paid + lacking) * price:,.2f} at the price given" if price else ""
            raise InputError(
                f"{lacking} images are lacking in '{self._out}' and {self.paid} answers are paid for: that makes "
                f"{self.paid + lacking}{money}, and image_cap is {self._cap}. Raise it, or ask for fewer"
            )

    def reserve(self) -> None:
        """One answer more will be paid for. Errors: InputError if the cap could be passed: answers without a usable image cost as well."""
        with self._lock:
            if self._cap and self.paid + self._under_way >= self._cap:
                raise InputError(
                    f"image_cap={self._cap} could be passed: {self.paid} answers are paid for, some of them without a usable image. "
                    f"All images so far are kept in '{self._out}'; raise image_cap, and the same call goes on"
                )
            self._under_way += 1

    def release(self, answered: bool) -> None:
        """The answer that was reserved came, or did not."""
        with self._lock:
            self._under_way -= 1
            if answered:
                self.paid += 1
                files.write_json(self.folder / "paid.json", {"answers": self.paid})

    def keep(self, job: Job, entry: dict) -> None:
        """Write down what became of an image, before its file is written: an image that stands has its entry."""
        files.write_json(self._place(job), entry)

    def sweep(self) -> None:
        """Remove what killed calls left of pictures on their way."""
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def _place(self, job: Job) -> Path:
        return self.folder / f"{job.file_name}.json"
