"""Named places where a crash test ends this process, as a power cut would. In production they do nothing.

A point is armed by a file of its name in the folder that LIGHTYARD_FAILPOINTS_FOLDER names; whoever passes it first takes the
file away and dies, so that one arming is one crash, in whichever process of the hub gets there.
"""

import os
import signal
from pathlib import Path

FAILPOINTS = {
    "submission.stored": "the client's file is in the store, nothing of it in the database",
    "submission.quoted": "the quote is committed, the client has not seen it",
    "scene.part_stored": "a part of a scene is in the store, nothing of it in the database",
    "scene.stored": "a whole scene is in the store, and is still awaited",
    "payment.presented": "the client's transaction is noted, the chain was not asked",
    "payment.sighted": "the chain has answered, nothing is booked",
    "payment.booking": "the payment is booked and the units are made, nothing is committed",
    "ton.noting": "a part of a walk is noted, nothing is committed",
    "ton.proving": "a walk is proven, nothing is committed",
    "ton.deciding": "an arrival on TON is booked, nothing is committed",
    "work.committed": "a unit of work is committed, its doorbells have not rung",
    "claim.committed": "units are handed out, the node does not know",
    "result.moved": "a picture is out of its signed URL's reach, and not booked",
    "result.booking": "a picture counts and its job is settled, nothing is committed",
    "result.booked": "a picture is booked, its node does not know",
    "push.sent": "a provider's software took the job, the hub has not noted it",
    "anchor.signing": "an anchor's bytes are signed, and stored nowhere",
    "anchor.signed": "an anchor's bytes are stored, and were not sent",
    "anchor.sent": "the chain has an anchor's bytes, the hub has not noted it",
    "anchor.landed": "an anchor is in a block, the hub has not noted it",
    "payout.opening": "a balance is on its way out, nothing is committed",
    "payout.signed": "the signer has signed payouts, their bytes are stored nowhere in the hub",
    "payout.stored": "signed payouts are stored, and were not sent",
    "payout.sent": "the chain has signed payouts, the hub has not noted it",
    "payout.landed": "the chain has shown what became of signed payouts, nothing is booked",
    "payout.booking": "payouts are booked, nothing is committed",
    "payout.expired": "signed payouts have provably expired, the hub has not noted it",
    "payout.adopting": "a transaction was found that the books do not know, and is not noted",
    "x402.signed": "the signer has signed a client's transaction, its bytes are stored nowhere in the hub",
    "x402.stored": "a client's transaction is signed and stored, and was not sent",
    "x402.sent": "the chain has a client's transaction, the hub has not noted it",
    "signer.noted": "the signer has signed and noted payouts, nobody was told",
}


def failpoint(name: str) -> None:
    """End this process with SIGKILL if a test armed this point. KeyError for a name that is not listed."""
    FAILPOINTS[name]
    folder = os.environ.get("LIGHTYARD_FAILPOINTS_FOLDER")
    if not folder:
        return
    try:
        (Path(folder) / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
