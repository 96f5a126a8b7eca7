"""What accounts hold, as of a commitment."""

from typing import Any

from solders.pubkey import Pubkey

from devnet.chain import Chain
from devnet.errors import InvalidParams
from devnet.rpc import params
from devnet.rpc.context import context
from devnet.tokens import PROGRAM_NAMES, Mint, read_holding, read_mint
from devnet.views import accounts as views

ACCOUNTS_LIMIT = 100


class AccountMethods:
    def __init__(self, chain: Chain) -> None:
        self._chain, self._slots, self._accounts = chain, chain.slots, chain.accounts

    def getBalance(self, address: Any, given: Any = None) -> dict[str, Any]:
        key, (_, word, slot) = params.pubkey(address), self._asked(given)
        with self._chain.lock:
            account = self._accounts.at(key, word)
        return context(slot, account.lamports if account else 0)

    def getAccountInfo(self, address: Any, given: Any = None) -> dict[str, Any]:
        key, (options, word, slot) = params.pubkey(address), self._asked(given)
        return context(slot, self._show(key, options, word))

    def getMultipleAccounts(self, addresses: Any, given: Any = None) -> dict[str, Any]:
        keys = [params.pubkey(address) for address in params.items(addresses, "addresses", ACCOUNTS_LIMIT)]
        options, word, slot = self._asked(given)
        with self._chain.lock:
            return context(slot, [self._show(key, {"encoding": "base64"} | options, word) for key in keys])

    def getTokenAccountBalance(self, address: Any, given: Any = None) -> dict[str, Any]:
        key, (_, word, slot) = params.pubkey(address), self._asked(given)
        with self._chain.lock:
            holding = read_holding(self._accounts.at(key, word))
            if holding is None:
                raise InvalidParams("could not find account" if self._accounts.at(key, word) is None else "not a Token account")
            mint = read_mint(self._accounts.at(holding.mint, word))
        return context(slot, views.amount(holding.amount, mint.decimals if mint else 9))

    def getTokenSupply(self, address: Any, given: Any = None) -> dict[str, Any]:
        key, (_, word, slot) = params.pubkey(address), self._asked(given)
        mint = self._mint(key, word)
        return context(slot, views.amount(mint.supply, mint.decimals))

    def getTokenAccountsByOwner(self, owner: Any, wanted: Any, given: Any = None) -> dict[str, Any]:
        key, (options, word, slot) = params.pubkey(owner), self._asked(given)
        wanted = params.options(wanted)
        mint = params.pubkey(wanted["mint"]) if "mint" in wanted else None
        program = params.pubkey(wanted["programId"]) if "programId" in wanted else None
        if (mint is None) == (program is None):
            raise InvalidParams("give either a mint or a programId")
        if program is not None and program not in PROGRAM_NAMES:
            raise InvalidParams("unrecognized Token program id")
        with self._chain.lock:
            if mint is not None:
                self._mint(mint, word)
            rows = [
                {"pubkey": str(place), "account": self._show(place, options, word)}
                for place, account in self._accounts.holdings_of(key, word)
                if account.owner == program or ((held := read_holding(account)) and held.mint == mint)
            ]
        return context(slot, rows)

    def _asked(self, given: Any) -> tuple[dict[str, Any], str, int]:
        """Options, commitment and its slot."""
        options = params.options(given)
        params.check_context(options, self._slots)
        word = params.commitment(options)
        return options, word, self._slots.at(word)

    def _mint(self, key: Pubkey, word: str) -> Mint:
        with self._chain.lock:
            mint = read_mint(self._accounts.at(key, word))
        if mint is None:
            raise InvalidParams("could not find mint" if self._accounts.at(key, word) is None else "not a Token mint")
        return mint

    def _show(self, key: Pubkey, options: dict[str, Any], word: str) -> dict[str, Any] | None:
        encoding = options.get("encoding")
        encoding = "binary" if encoding in (None, "binary") else views.check_encoding(encoding)
        part = params.options(options.get("dataSlice"))
        place = (params.number(part["offset"], "offset"), params.number(part["length"], "length")) if len(part) == 2 else None
        if part and place is None:
            raise InvalidParams("dataSlice needs an offset and a length")
        with self._chain.lock:
            return views.show(self._accounts, self._accounts.at(key, word), encoding, word, place)
