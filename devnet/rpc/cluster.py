"""What a client asks of the cluster itself: slots, hashes, health."""

import time
from typing import Any

from solders.pubkey import Pubkey

from devnet.chain import SLOTS_PER_EPOCH, Chain
from devnet.errors import RpcError
from devnet.rpc import params
from devnet.rpc.context import VERSION, context

FEE_SLOTS = 150


class ClusterMethods:
    def __init__(self, chain: Chain) -> None:
        self._chain, self._slots = chain, chain.slots

    def getHealth(self) -> str:
        return "ok"

    def getVersion(self) -> dict[str, Any]:
        return {"solana-core": VERSION, "feature-set": 0}

    def getGenesisHash(self) -> str:
        return str(self._chain.genesis.hash)

    def getIdentity(self) -> dict[str, str]:
        return {"identity": str(self._chain.genesis.faucet.pubkey())}

    def getSlot(self, given: Any = None) -> int:
        given = params.options(given)
        params.check_context(given, self._slots)
        return self._slots.at(params.commitment(given))

    def getBlockHeight(self, given: Any = None) -> int:
        return self.getSlot(given)

    def getFirstAvailableBlock(self) -> int:
        return 0

    def getTransactionCount(self, given: Any = None) -> int:
        slot = self.getSlot(given)
        return sum(landed.slot <= slot for landed in self._chain.history.order)

    def getBlockTime(self, slot: Any) -> int:
        wanted, now = params.number(slot, "slot"), self._slots.now
        if wanted > now:
            raise RpcError(-32004, f"Block not available for slot {wanted}")
        with self._chain.lock:
            landed = next((item for item in reversed(self._chain.history.order) if item.slot <= wanted), None)
        if landed is not None and landed.slot == wanted:
            return landed.block_time
        reckoned = int(time.time() - (now - wanted) * self._slots.slot_ms / 1000)
        return max(reckoned, landed.block_time) if landed else reckoned

    def getEpochInfo(self, given: Any = None) -> dict[str, int]:
        slot = self.getSlot(given)
        return {
            "absoluteSlot": slot,
            "blockHeight": slot,
            "epoch": slot // SLOTS_PER_EPOCH,
            "slotIndex": slot % SLOTS_PER_EPOCH,
            "slotsInEpoch": SLOTS_PER_EPOCH,
            "transactionCount": len(self._chain.history.order),
        }

    def getLatestBlockhash(self, given: Any = None) -> dict[str, Any]:
        """The hash of the newest slot at the asked commitment; it is good until `lastValidBlockHeight`."""
        slot = self.getSlot(given)
        blockhash = self._slots.blockhash(slot)
        height = self._slots.last_valid_height(blockhash)
        return context(slot, {"blockhash": str(Pubkey(blockhash)), "lastValidBlockHeight": height})

    def isBlockhashValid(self, blockhash: Any, given: Any = None) -> dict[str, Any]:
        slot = self.getSlot(given)
        last = self._slots.last_valid_height(bytes(params.pubkey(blockhash)))
        return context(slot, last is not None and slot <= last)

    def getMinimumBalanceForRentExemption(self, size: Any, given: Any = None) -> int:
        params.commitment(params.options(given))
        return self._chain.rent_exempt(params.number(size, "size", 10 * 1_048_576))

    def getRecentPrioritizationFees(self, addresses: Any = None) -> list[dict[str, int]]:
        for address in params.items(addresses or [], "addresses", 128):
            params.pubkey(address)
        now = self._slots.now
        return [{"slot": slot, "prioritizationFee": 0} for slot in range(max(0, now - FEE_SLOTS + 1), now + 1)]

    def svm_advanceSlots(self, slots: Any) -> int:
        """Test's own: let slots pass at once."""
        return self._chain.advance(params.number(slots, "slots", 10**9))

    def svm_dropTransactions(self, count: Any) -> int:
        """Test's own: the next transactions are answered with their signature and never land, as on a busy cluster."""
        self._chain.dropping = params.number(count, "count", 10**6)
        return self._chain.dropping
