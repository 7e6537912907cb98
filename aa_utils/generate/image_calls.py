"""One image from a web service: asked for until it comes, or until it is clear that it will not; kept before it is returned."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from aa_utils import files
from aa_utils.errors import InputError
from aa_utils.generate import folder
from aa_utils.generate.image_answers import Refused, is_refusal, largest_answer, pixels
from aa_utils.generate.image_ledger import Ledger
from aa_utils.generate.jobs import Job
from aa_utils.progress import note
from aa_utils.web_service.refusals import refused_field
from aa_utils.web_service.server import BadAnswer, Server, Trouble

if TYPE_CHECKING:
    import numpy as np
    import openai

    from aa_utils.generate.openai_images import Service

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between tries
BAD_ANSWERS = 3  # so many answers without a usable image, each of them paid for, and the run stops
DOWNLOADS = 3  # tries to fetch an image from the address in an answer
OPTIONAL = ("response_format", "seed")  # fields that a server may not know, and that can be done without


class Caller:
    """Asks for single images; threads share it."""

    def __init__(self, name: str, service: "Service", size: tuple[int, int], settings: dict, ledger: Ledger, out: Path):
        resume_hint = f"Every image so far is kept in '{out}', and the same call goes on from there"
        self.server = Server(service.base_url, name, service.key_variable, service.timeout, service.retries, resume_hint)
        self.notes: list[str] = []
        self._name, self._service, self._size, self._settings, self._ledger, self._out = name, service, size, settings, ledger, out
        self._without: set[str] = set()

    def draw(self, job: Job) -> dict:
        """The ledger's entry of `job`, which is kept, and its image written, before it is returned."""
        sent: dict = {}
        bad: list[str] = []

        def send(client: "openai.OpenAI") -> tuple["np.ndarray", str | None]:
            nonlocal sent
            sent = self._body(job)
            self._ledger.reserve()
            body = None
            try:
                body = client.images.with_raw_response.generate(**sent).content
            finally:
                self._ledger.release(answered=body is not None)
            try:
                return pixels(body, self._fetch, self._size, self._ledger.folder)
            except BadAnswer as error:
                bad.append(str(error))
                if len(bad) == BAD_ANSWERS:
                    raise InputError(
                        f"{self.server.base_url} gave no usable image in {len(bad)} answers for prompt '{job.prompt_id}'; the last one: "
                        f"{bad[-1]}. {self.server.resume_hint}"
                    ) from None
                raise

        def step_back(trouble: Trouble) -> bool:
            if trouble.status in (400, 403, 422, 451) and is_refusal(f"{trouble.code} {trouble.message}"):
                raise Refused(trouble.message[:300])
            return trouble.status in (400, 422) and self._leave_out(
                refused_field(trouble.message, [name for name in OPTIONAL if name in sent | sent["extra_body"]])
            )

        try:
            image, rewritten = self.server.ask(send, largest_answer(*self._size), step_back, FIRST_WAIT, LONGEST_WAIT)
        except Refused as error:
            entry = {"refused": str(self.server.clean(str(error))), "prompt": job.text}
            self._ledger.keep(job, entry)
            return entry
        return {"row": self._write(job, image, rewritten, sent)}

    def _write(self, job: Job, image: "np.ndarray", rewritten: str | None, sent: dict) -> dict:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "png")
        data = buffer.getvalue()
        row = folder.row_of(job, hashlib.sha256(data).hexdigest(), image.shape[1], image.shape[0], not image.any(), self._settings)
        row |= {"seed": sent["extra_body"].get("seed"), "revised_prompt": self.server.clean(rewritten)}
        self._ledger.keep(job, {"row": row})
        files.write_bytes(self._out / job.file_name, data)
        return row

    def _body(self, job: Job) -> dict:
        """The arguments of a request: what the server does not take is left out."""
        body = {"model": self._name, "prompt": job.text, "response_format": "b64_json"}
        if self._size[0]:
            body["size"] = f"{self._size[0]}x{self._size[1]}"
        more = self._service.request_fields | {"seed": job.seed % 2**31}
        with self.server.lock:
            body = {name: value for name, value in body.items() if name not in self._without}
            return body | {"extra_body": {name: value for name, value in more.items() if name not in self._without}}

    def _leave_out(self, name: str) -> bool:
        """Send no field `name` any more; told and recorded. False where there is none to leave out."""
        if name:
            with self.server.lock:
                if name not in self._without:
                    self._without.add(name)
                    self.notes.append(f"{name} (left out)")
                    note(f"{self._name}: {self.server.base_url} does not take {name}")
        return bool(name)

    def _fetch(self, url: str) -> bytes:
        """The bytes at the address in an answer, which is paid for: so more than one try."""
        import httpx2

        for number in range(DOWNLOADS):
            try:
                came = self.server.fetch(url)
            except (httpx2.HTTPError, httpx2.InvalidURL):
                what = "an address that does not answer"
            else:
                if came.status_code == 200:
                    return came.content
                what = f"an address that answers HTTP {came.status_code}"
            self.server.stop.wait(FIRST_WAIT * number)
        raise BadAnswer(what)
