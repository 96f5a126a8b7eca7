"""Artists who order, pay and wait while things die, and what must be in the books for each of their jobs."""

import time
import uuid
from typing import Any

import psycopg

from tests.e2e.artist import Artist

FRAMES = 4
SETTINGS = {"resolution": {"width": 32, "height": 24}, "samples": 1, "frames": {"start": 1, "end": FRAMES}}


def buy(
    endpoints: dict[str, str], scene: bytes, until: float, jobs: list[tuple[str, str]], errors: list[str], settings: Any = None
) -> None:
    """A client that orders until the time is over, and then waits for its last job."""
    artist = Artist(endpoints, patience_seconds=120)
    while time.monotonic() < until:
        try:
            payment = artist.quote(scene, settings or SETTINGS)
            signature = artist.send_money(payment)
            jobs.append((payment["jobId"], signature))
            artist.announce(payment, signature)
            artist.wait(payment["jobId"], seconds=300)
        except Exception as error:  # noqa: BLE001  a thread has nobody else to tell
            errors.append(repr(error))
            return


def problems_of(connection: psycopg.Connection, job: str, signature: str, frames: int = FRAMES) -> dict[str, str]:
    """`lost`: what the job should have and has not; `doubled`: what it has twice."""
    job_id = uuid.UUID(job)
    state = connection.execute("SELECT state, payment_state FROM jobs WHERE id = %s", [job_id]).fetchone()
    query = "SELECT reference FROM transfers WHERE job_id = %s ORDER BY reference"
    references = [row[0] for row in connection.execute(query, [job_id])]
    counted = dict(
        connection.execute(
            "SELECT u.frame, count(*) FROM work_units u JOIN attempts a ON a.unit_id = u.id AND a.state = 'completed'"
            " WHERE u.job_id = %s AND u.kind = 'frame' GROUP BY u.frame",
            [job_id],
        ).fetchall()
    )
    wanted = [f"fee:{job_id}:debt", f"payment:solana:{signature}"]
    missing = {frame for frame in range(1, frames + 1) if not counted.get(frame)} | (set(wanted) - set(references))
    found: dict[str, str] = {}
    if state != ("completed", "confirmed") or missing:
        found["lost"] = f"{job}: {state}, without {missing}"
    if set(references) - set(wanted) or any(count > 1 for count in counted.values()):
        found["doubled"] = f"{job}: {references}, frames {counted}"
    return found
