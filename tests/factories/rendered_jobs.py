"""A render whose frames really lie in the hub's store, its owner with a key, and the deeds of its nodes: in-process."""

import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import Any

from flask.testing import FlaskClient
from PIL import Image

from app.core import accounts, completions
from app.core.claims import Claim
from app.core.completions import Finished
from app.wiring import Hub
from tests.factories.render_market import SETTINGS, Renders

SIZE = (64, 48)


def painted(frame: int, format: str = "PNG", size: tuple[int, int] = SIZE) -> bytes:
    """A picture that tells its frame."""
    picture = Image.new("RGB", size, (frame % 256, 40, 200))
    written = io.BytesIO()
    picture.save(written, format)
    return written.getvalue()


class RenderedJobs(Renders):
    """Renders whose owner calls the hub with a key, and whose results are files."""

    def __init__(self, client: FlaskClient, hub: Hub) -> None:
        super().__init__(hub.database)
        self.client, self.hub = client, hub
        self.key = self.key_of(self.account_id)

    def key_of(self, account_id: uuid.UUID, *scopes: str) -> str:
        with self.hub.database.unit_of_work() as session:
            return accounts.create_key(session, account_id, "test", list(scopes or ("jobs:read",)))

    def get(self, job_id: object, path: str = "", key: str | None = None, **options: Any) -> Any:
        head = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return self.client.get(f"/rnp/v1/jobs/{job_id}{path}", headers=head, **options)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {**SETTINGS, "width": SIZE[0], "height": SIZE[1], **changes}

    def finish(self, taken: Sequence[Claim], format: str = "PNG", seconds: float = 5.0) -> None:
        """As a node that has uploaded good pictures."""
        done = []
        for item in taken:
            data = painted(item.frame or 0, format)
            key = f"accepted/{item.upload_key}"
            self.hub.store.put(key, io.BytesIO(data), 10**8)
            found = (key, hashlib.sha256(data).hexdigest(), len(data), seconds)
            done.append(Finished(item.attempt_id, item.fence, *found))
        with self.hub.database.unit_of_work() as session:
            assert len(completions.complete(session, done)) == len(done)
